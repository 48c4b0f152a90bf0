"""Shared memory without a name: the system frees it when the last process with it ends, by a crash too."""
import mmap
import os


class SharedMemory:
    """`size` bytes, initially zeros; untouched pages take no memory.

    memory      mmap of the bytes
    opener      argument for a child process's open_shared(opener, size)
    descriptors file descriptors for the child to inherit (subprocess's pass_fds)
    """

    def __init__(self, size):
        if os.name == "nt":                                  # has a name, but ends with its last process
            self.opener, self.descriptors = f"npcaption-{os.urandom(16).hex()}", ()
            self.memory = mmap.mmap(-1, size, self.opener)
            return
        self.opener = unnamed_file(size)
        self.descriptors = (self.opener,)
        self.memory = mmap.mmap(self.opener, size)

    def close_descriptors(self):
        """Close the descriptors, after the last child's start. The memory stays mapped."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()


def open_shared(opener, size):
    """Map the same memory in a child process -> mmap"""
    if os.name == "nt":
        return mmap.mmap(-1, size, opener)
    memory = mmap.mmap(opener, size)
    os.close(opener)
    return memory


def unnamed_file(size):
    """Make a file in memory, or a deleted one on disk if the system has no such files -> descriptor"""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("npcaption")
    else:
        import tempfile  # here: its imports would slow the start of small commands
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
