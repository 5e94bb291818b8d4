"""Writes the measurements into research_paper.md, and a plot for each record.

Regions of the paper between `<!-- begin NAME -->` and `<!-- end NAME -->` are made from the records
in benchmarks/results; people write the text around them. `make paper` writes, and tests compare.
"""

import hashlib
import json
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.checkpoints import CONFIGS
from benchmarks.measures import MEASURES
from benchmarks.versus import RESULTS, file_name, label, table, values

PAPER = Path(__file__).parent.parent / "research_paper.md"
PLOTS = Path(__file__).parent / "plots"
NOTHING = "Not measured yet."
PLOT_COLUMNS = 5
OURS = "llm_service"

Record = dict[str, Any]


def main() -> None:
    records = read_records(RESULTS)
    text = PAPER.read_text(encoding="utf-8")
    PAPER.write_text(filled(text, regions(records, read_grammars())), encoding="utf-8")
    PLOTS.mkdir(exist_ok=True)
    for path in PLOTS.glob("*.svg"):
        path.unlink()
    for record in records:
        draw(record, PLOTS / plot_name(record))
    print(f"{len(records)} records, {len(MEASURES)} measures: {PAPER.name} is up to date")


def read_records(folder: Path) -> list[Record]:
    """Return the records that were measured on a quiet machine, sorted by name."""
    paths = sorted(folder.glob("*.json"))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [record for record in records if record.get("is_quiet")]


def regions(records: Sequence[Record], grammars: Sequence[Record] = ()) -> dict[str, str]:
    """Return the regions' texts: one per checkpoint for peers, one for ablations.

    `grammars` has records of another kind, which have a region of their own.
    """
    peers = [record for record in records if not is_ablation(record)]
    measured = {record["checkpoint"] for record in peers}
    texts = {
        name: _sections(record for record in peers if record["checkpoint"] == name)
        for name in CONFIGS
        if name in measured and name != "tiny" and not name.endswith("-copying")
    }
    texts["ablations"] = _sections(record for record in records if is_ablation(record))
    if grammars:
        texts["grammars"] = "\n\n".join(map(_grammars, grammars))
    return texts


def read_grammars() -> list[Record]:
    """Return what `python -m benchmarks.grammars` printed, a record for each checkpoint."""
    paths = sorted((RESULTS / "grammars").glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _grammars(record: Record) -> str:
    machine, compile_ms = record["machine"], record["compile_ms"]
    lines = [
        f"{record['checkpoint']} in 8 bits on {machine['cpu']}, {machine['cores']:g} cores,"
        f" {record['created'][:10]}. The cases take turns; medians, and ratios within a round.",
        "",
        "| streams | answers | tok/s | tokens per step and stream | ratio to free text |",
        "|---|---|---|---|---|",
    ]
    for streams, group in (("1", "one_stream"), ("16", "16_streams")):
        for name, found in record[group].items():
            figures = (found[key] for key in ("tokens_per_second", "tokens_per_chunk"))
            shown = " | ".join(f"{figure:.3g}" for figure in figures)
            ratio = f"{found['ratio_to_free']:.2f}"
            lines.append(f"| {streams} | {name.replace('_', ' ')} | {shown} | {ratio} |")
    lines += [
        "",
        f"A schema takes {compile_ms['p50']:.1f} ms to compile (p99 {compile_ms['p99']:.1f} ms),"
        f" and the first one of a vocabulary {record['first_grammar_seconds']:.1f} s more, once.",
    ]
    return "\n".join(lines)


def is_ablation(record: Record) -> bool:
    """Whether the service was compared with itself in another configuration."""
    return all(contender["name"] == OURS for contender in record["contenders"])


def filled(text: str, regions: dict[str, str]) -> str:
    """Return `text` with every region replaced. Raises ValueError if the regions differ."""
    found = re.findall(r"<!-- begin (\S+) -->", text)
    if sorted(found) != sorted(regions):
        raise ValueError(f"the paper has the regions {found}, the records fill {list(regions)}")
    for name, content in regions.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found_end:
            raise ValueError(f"the region {name} has no end")
        text = f"{before}{begin}\n{content}\n{end}{after}"
    return text


def digest(record: Record) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def plot_name(record: Record) -> str:
    return f"{file_name(record)}.svg"


def draw(record: Record, path: Path) -> None:
    """Draw bars of medians with whiskers (lowest, highest). Equal records give equal files."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = [label(contender) for contender in record["contenders"]]
    measures = [name for name in MEASURES if any(values(record, name))]
    with mpl.rc_context({"svg.hashsalt": "llm_service", "svg.fonttype": "none"}):
        columns = min(len(measures), PLOT_COLUMNS)
        lines = -(-len(measures) // columns)
        figure = Figure(figsize=(2.6 * columns, 3.2 * lines), layout="constrained")
        places = list(figure.subplots(lines, columns, squeeze=False).flat)
        for axes in places[len(measures) :]:
            axes.remove()
        for axes, name in zip(places, measures, strict=False):
            for position, each in enumerate(values(record, name)):
                if not each:
                    continue
                middle = statistics.median(each)
                spread = [[middle - min(each)], [max(each) - middle]]
                axes.bar(position, middle, yerr=spread, capsize=4, color=f"C{position}")
            measure = MEASURES[name]
            axes.set_title(f"{measure.label}\n({measure.better} is better)", fontsize=8)
            axes.set_ylabel(measure.unit, fontsize=8)
            axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7)
            axes.set_xlim(-0.6, len(names) - 0.4)
        figure.savefig(path, metadata={"Date": None, "Description": digest(record)})


def _sections(records: Any) -> str:
    return "\n\n".join(map(_section, records)) or NOTHING


def _section(record: Record) -> str:
    names = " and ".join(label(contender) for contender in record["contenders"])
    plot = f"![{names}](benchmarks/plots/{plot_name(record)})"
    return "\n\n".join([_conditions(record), table(record), plot])


def _conditions(record: Record) -> str:
    """Describe the machine, the date and the memory bandwidth in one sentence."""
    machine = record["machine"]
    turns = record["turns"]
    speeds = [max(turn["figures"]["machine"]["read_bandwidths"].values()) / 1e9 for turn in turns]
    versions = ", ".join(f"{each['name']} {each['version']}" for each in record["contenders"])
    return (
        f"{record['checkpoint']} on {machine['cpu']}, {machine['cores']:g} cores,"
        f" {record['threads']} threads, {machine['kernel']}, {record['created'][:10]};"
        f" {versions}; {len(turns) // len(record['contenders'])} repetitions; memory read at"
        f" {min(speeds):.0f}-{max(speeds):.0f} GB/s."
        " Median (least-most); ratios within a repetition."
    )


if __name__ == "__main__":
    main()
