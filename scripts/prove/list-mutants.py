# Prints every mutant of the source files that are named, one JSON object a line. Runs in the environment
# into which the campaign `mutants` installs universalmutator.
import contextlib
import io
import json
import sys

from universalmutator import mutator

RULES = {
    ".cc": ["universal.rules", "c_like.rules", "cpp.rules"],
    ".ts": ["universal.rules", "c_like.rules", "javascript.rules"],
}

for path in sys.argv[1:]:
    with open(path, encoding="utf8") as file:
        lines = file.readlines()
    rules = RULES[path[path.rindex(".") :]]
    with contextlib.redirect_stdout(io.StringIO()):
        found = mutator.mutants_regexp(lines, ruleFiles=rules, ignorePatterns=[], ignoreStringOnly=True)
    for number, mutant, *_ in found:
        one = {"file": path, "number": number, "line": lines[number - 1], "mutant": mutant}
        print(json.dumps({key: v.rstrip("\n") if isinstance(v, str) else v for key, v in one.items()}))
