"""The transcript of docs/exercises.md: one exercise from its stub to its last check, by running the commands.

    python -m tests.exercises.transcript    update the page
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "exercises.md"
BEGIN, END = "<!-- transcript: python -m tests.exercises.transcript -->\n```text\n", "```\n"

FIRST = """    xhat, rstd, w = cache
    dxhat = dout * w
    dx = rstd * (dxhat - dxhat.mean(-1, keepdims=True))
    return dx, dout * xhat, dout.sum((0, 1))
"""
SECOND = FIRST.replace("dout * xhat,", "(dout * xhat).sum((0, 1)),")
THIRD = SECOND.replace("keepdims=True))", "keepdims=True)\n"
                       "                 - xhat * (dxhat * xhat).mean(-1, keepdims=True))")
LAST = THIRD.replace("dx = rstd", "rows = tuple(range(dout.ndim - 1))\n    dx = rstd").replace("(0, 1)", "rows")
TRIES = (FIRST, "dx forgets that x moves its row's deviation; dw is not summed"), (SECOND, "dw is summed"), \
        (THIRD, "the third way"), (LAST, "over all axes in front")


def transcript():
    """The commands and their output."""
    with tempfile.TemporaryDirectory() as folder:
        said, path = [], Path(folder) / "mine" / "layernorm.py"

        def run(*words):
            around = os.environ | {"PYTHONPATH": str(ROOT)}
            found = subprocess.run([sys.executable, "-m", "npcaption.exercises", *words], cwd=folder, env=around,
                                   capture_output=True, text=True)
            name = Path(sys.executable).name
            text = (found.stdout + found.stderr).replace(f"{ROOT}{os.sep}", "").replace(f"{name} -m", "python -m")
            said.append(f"$ python -m npcaption.exercises {' '.join(words)}\n{text.strip()}\n")

        run("start", "layernorm")
        stub = path.read_text()
        head = stub[:stub.index("    xhat, rstd, w = cache\n    raise")]
        said.append("$ tail -4 mine/layernorm.py\n" + "\n".join(stub.splitlines()[-4:]) + "\n")
        before = ""
        for body, what in TRIES:
            path.write_text(head + body)
            new = [line for line in body.splitlines() if line not in before.splitlines()]
            said.append(f"# written: {what}\n" + "\n".join(new) + "\n")
            run("check", "layernorm")
            if body is SECOND:
                run("hint", "layernorm")
            before = body
    return "\n".join(said)


def masked(text):
    """The text without the parts that depend on the machine: seconds, rounding, the path of the lessons."""
    text = re.sub(r"lesson (\d+) in docs/lessons|docs/lessons/(\d+)-\S+?\.md", r"lesson \1\2", text)
    return re.sub(r"to \de[-+]\d+", "to ...", re.sub(r"\(\d+\.\d+ s\)", "(... s)", text))


def of_page():
    return PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]


def main():
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END, 1)[1]
    PAGE.write_text(before + BEGIN + transcript() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
