"""Shared memory without a name: several processes map it, and the system frees it with the last of them, however that ends."""
import mmap
import os


class SharedMemory:
    """`size` bytes, zeros at first; those that nobody writes to take no memory.

    memory      an mmap of them
    opener      how a child process opens them: open_shared(opener, size)
    descriptors what it must inherit for that (subprocess's pass_fds)
    """

    def __init__(self, size):
        if os.name == "nt":                                  # a name, but it goes with the last process that has it open
            self.opener, self.descriptors = f"npcaption-{os.urandom(16).hex()}", ()
            self.memory = mmap.mmap(-1, size, self.opener)
            return
        self.opener = unnamed_file(size)
        self.descriptors = (self.opener,)
        self.memory = mmap.mmap(self.opener, size)

    def close_descriptors(self):
        """Once no more children will be started. The memory stays mapped."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()


def open_shared(opener, size):
    """The same memory in a child process -> mmap"""
    if os.name == "nt":
        return mmap.mmap(-1, size, opener)
    memory = mmap.mmap(opener, size)
    os.close(opener)
    return memory


def unnamed_file(size):
    """-> descriptor of a file in memory, or of a deleted one on disk where the system has no such files"""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("npcaption")
    else:
        import tempfile  # here, as what it imports would slow the start of small commands
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
