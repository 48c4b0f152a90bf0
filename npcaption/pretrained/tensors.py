"""Reader of weight files: safetensors or PyTorch, recognised by content -> named arrays."""
from .flat import mapped
from .opening import AGAIN, HEAD, Unreadable, foreign, opened
from .pytorch_file import ZIP, is_legacy, read_archive, read_legacy
from .safetensors import is_safetensors, read_safetensors

EXPECTED = "a safetensors or PyTorch weight file"


def read_tensors(path):
    """Read the tensors of a safetensors, .pt or .pth file -> {name: array}, read-only

    Each array has the type and shape of the file's tensor, except bfloat16, converted to float32 exactly. The state
    dict of a checkpoint ({"state_dict": ..., "epoch": ...}) or of a TorchScript module is flattened, under dotted
    names. Nothing in the file is executed. Memory: arrays are views of the mapped file, read on use; only bfloat16 and
    legacy PyTorch files are copied. Views of old safetensors files can be unaligned. Do not overwrite the file while
    the arrays are in use.
    PretrainedError for any other or damaged file.
    """
    with opened(path, EXPECTED) as file:
        buffer = mapped(file)
        head = buffer[:HEAD]
        if head.startswith(ZIP):
            tensors = read_archive(file, buffer)
        elif is_legacy(head):
            tensors = read_legacy(buffer)
        elif is_safetensors(head):
            tensors = read_safetensors(buffer)
        else:
            raise foreign(head) or Unreadable("its format is unknown", AGAIN)
        if not tensors:
            raise Unreadable("it holds no tensors", "Pass a weight file.")
        return tensors
