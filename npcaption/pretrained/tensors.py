"""Named arrays from a file of pretrained weights: safetensors or PyTorch, told apart by their content."""
from .flat import mapped
from .opening import AGAIN, HEAD, Unreadable, foreign, opened
from .pytorch_file import ZIP, is_legacy, read_archive, read_legacy
from .safetensors import is_safetensors, read_safetensors

EXPECTED = "a safetensors or PyTorch file of weights"


def read_tensors(path):
    """The tensors of a safetensors, .pt or .pth file -> {name: array}, read-only

    Each array has the type and the shape of the file's tensor, but bfloat16 becomes float32, exactly. The state dict of
    a checkpoint ({"state_dict": ..., "epoch": ...}) or of a TorchScript module comes out flat, under dotted names.
    Nothing in the file is run. Memory: arrays are views of the mapped file, read when they are used; only bfloat16 and
    legacy PyTorch files are copied. Views of old safetensors files may be unaligned; copies of them are not. Do not
    write over the file while the arrays are in use.
    PretrainedError for every other file, and for a damaged one.
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
            raise foreign(head) or Unreadable("its format is not known", AGAIN)
        if not tensors:
            raise Unreadable("it holds no tensors", "Name the file of the weights.")
        return tensors
