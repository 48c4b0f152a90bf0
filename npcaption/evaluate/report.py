"""Tables printed by `npcaption evaluate`."""
from ..errors import printable


def evaluation(result):
    """Text of an evaluation.  result: the dictionary written as JSON"""
    def cell(value, digits, factor=1):                       # an entry of a table
        return "-" if value is None else f"{factor * value:.{digits}f}"

    warnings = [note for note in result["notes"] if note.startswith("WARNING")]
    others = [note for note in result["notes"] if note not in warnings]
    lines = [printable(f"{result['checkpoint']} on {result['data']}, {result['split']}: {result['images']:,} images "
                       f"with {result['references']:,} captions"), *warnings, "",
             f"{'':<42}{'nats per token':>15}{'perplexity':>12}{'nats per character':>20}{'bits':>8}"]
    lines += [f"{row['name']:<42}{cell(row['nats_per_token'], 4):>15}{cell(row['perplexity'], 2):>12}"
              f"{cell(row['nats_per_character'], 4):>20}{cell(row['bits_per_character'], 4):>8}"
              for row in result["losses"]]
    lines += ["", f"{'(times 100)':<42}{'BLEU-1':>7}{'-2':>6}{'-3':>6}{'-4':>6}{'ROUGE-L':>9}{'CIDEr-D':>9}"
              f"{'distinct':>10}{'words':>7}"]
    for row in result["scores"]:
        bleu = row["bleu"] or [None] * 4
        lines.append(f"{row['name']:<42}{cell(bleu[0], 1, 100):>7}" + "".join(f"{cell(b, 1, 100):>6}" for b in bleu[1:])
                     + f"{cell(row['rouge_l'], 1, 100):>9}{cell(row['cider_d'], 1, 100):>9}{row['distinct']:>10,}"
                     f"{row['words']:>7.1f}")
        if row["caption"]:
            lines.append(f'    "{row["caption"]}"')
    return "\n".join(lines + [""] * bool(others) + others)
