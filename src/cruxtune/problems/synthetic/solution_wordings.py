"""How solutions are worded: openings, steps, remarks and final answers, as templates for `expand`.

Slots: {name}, {they}, {things} of the cast; {n} a number, {g} a number of packs, {c} a result.
"""

from .story import Event

OPENINGS = (
    "{name} [has|starts with|begins with|owns] {n}[ {things}|][ first| at first| to start|].",
    "[First|At first|To start|In the beginning|Okay,|Well,] [there are|we have] {n}[ {things}|].",
    "[First|At first|To start|In the beginning|Okay,|Well,] [{they}|{name}] has {n}[ {things}|].",
    "[Let us|We|We will|Let me] [see|count|think|start]: [there are|we have] {n}[ {things}|].",
    "[The start is|We start with|Start with|We begin at|The first number is|It starts with] {n}[ {things}|].",
)
LEADS = {
    Event.GAIN: (
        "[Then|Next|Now|After that|Later|And] [{they}|{name}] [gets|has|finds|adds] {n}[ more| new| other|]",
        "[We|Now we|Then we|Next we|So we] [add|count|put in|take in] [the|another|] {n}[ more| new|]",
        "[With|Adding|Counting] [the|] {n}[ more| new| other|][ {things}|]",
        "{n}[ more| new|] [come in|are added|come]",
    ),
    Event.LOSE: (
        "[Then|Next|Now|After that|Later|And] {n}[ of them|] [go|are gone|are lost|go away]",
        "[We|Now we|Then we|Next we|So we] [take away|take|drop|count off] [the|] {n}[ of them|]",
        "[Without|Taking away|Losing] [the|] {n}[ of them| {things}|]",
    ),
    Event.TIMES: (
        "[Then|Next|Now|After that|Later|And] [it|the number|all] [grows|becomes] {n} times",
        "[We|Now we|Then we|Next we|So we] [need|take|count] [it|them|all] {n} times",
    ),
    Event.SHARE: (
        "[Then|Next|Now|After that|Later|And] [it is|they are|all is] [shared|split] [in|by|into] {n}",
        "[We|Now we|Then we|Next we|So we] [split|share|part] [it|them|all] [in|by|into] {n}[ parts|]",
    ),
}
PACK_LEADS = (
    "[Then|Next|Now|After that|Later|And] [there are|{they} has|we have] {g} [packs|bags|boxes][ of {n}|]",
    "[The|All|Those] {g} [packs|bags|boxes][ together| in all|]",
    "[For|In] the [packs|bags|boxes][ together|]",
)
JOINTS = ("{lead}, so {equation}.", "{lead}: {equation}.", "{lead}. [So|Then|Now] {equation}.")
EQUATIONS = {
    "+": ("{a} + {b} [=|=|is] {c}", "{a} plus {b} [is|makes|gives] {c}", "{a} and {b} [is|makes] {c}"),
    "-": ("{a} - {b} [=|=|is] {c}", "{a} minus {b} [is|leaves|gives] {c}", "{a} less {b} [is|leaves] {c}"),
    "*": ("{a} * {b} [=|=|is] {c}", "{a} times {b} [is|makes|gives] {c}"),
    "/": ("{a} / {b} [=|=|is] {c}", "{a} over {b} [is|makes|gives] {c}"),
}
RESTATEMENTS = (
    "[That makes|So there are|We are at|We have|So we have|Now there are] {c}[ now| so far| {things}|].",
    "[The total|The number|It] is {c}[ now| so far|].",
)
TALK = (
    "[Good|Fine|Okay|Yes|Nice|Right][, so far|, so good|].",
    "[Let us|We|Now we] go on.",
    "[This|That] [is|looks] [fine|right|good].",
)
CONCLUSIONS = (
    "[So|In the end|Now|At last] {name} has {c} {things}.",
    "[So|In the end|Now|At last] there are {c}[ {things}|].",
)
FINALS = (
    "The answer is {c}.",
    "The answer is {c}.",
    "So the answer is {c}.",
    "The final answer is {c}.",
    "#### {c}",
)
FAREWELLS = ("That is all.", "Done.", "That is it.", "Good.")
HASTY_OPENINGS = (
    "I [think|guess|say] [it is|about] {c}.",
    "Easy, [it is|about] {c}.",
    "This is easy.",
)
SECOND_THOUGHTS = (", no,", ", no,", ", wait,", ", sorry,", ", oops,")
LATE_THOUGHTS = ("No,", "Wait,", "Sorry,", "Oops,")
BARE_STEPS = ("[So|Then|Now|Next] {equation}.",)
