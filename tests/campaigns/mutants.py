"""Do the gradient checks bite? Every backward is broken in every small way, and each time the check must notice.

    python -m tests.campaigns.mutants    a line for each mutant that escapes, then a table; exits 1 if one escapes

What a mutant is: npcaption/gradcheck/mutants.py.
"""
import sys
from collections import Counter

from npcaption.gradcheck.mutants import EQUIVALENT, FILES, check, judge, mutants
from npcaption.support.progress import progress


def main():
    found = [mutant for path in FILES for mutant in mutants(path)]
    for function in dict.fromkeys(mutant.function for mutant in found):
        if check(function) != "right":
            sys.exit(f"{function} is wrong as it is, before any change: see npcaption gradcheck")

    verdicts = Counter()
    for mutant in progress(found, len(found), "mutants", "mutants"):
        verdict = judge(mutant)
        verdicts[mutant.module, verdict] += 1
        if verdict.isupper():
            print(f"{verdict}  {mutant.module}  {mutant.name}")
    gone = set(EQUIVALENT) - {mutant.name for mutant in found}
    for name in sorted(gone):
        print(f"GONE  {name}, which EQUIVALENT lists")

    columns = "wrong", "refused", "raises", "equivalent", "SURVIVED", "CAUGHT"
    print(f"{'module':<36}{'mutants':>8}" + "".join(f"{column:>12}" for column in columns))
    for module in [*dict.fromkeys(mutant.module for mutant in found), "all"]:
        of_module = [(verdict, n) for (m, verdict), n in verdicts.items() if module in (m, "all")]
        counts = [sum(n for verdict, n in of_module if verdict == column) for column in columns]
        print(f"{module:<36}{sum(counts):>8}" + "".join(f"{n:>12}" for n in counts))
    wrong, refused, raises, equivalent, survived, listed = counts
    caught = wrong + refused + raises + listed
    print(f"\n{caught} of {len(found) - equivalent} mutants caught; {equivalent} more compute the same.")
    return 1 if survived or listed or gone else 0


if __name__ == "__main__":
    sys.exit(main())
