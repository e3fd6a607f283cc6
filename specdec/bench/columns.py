"""The columns of a benchmark's tables, and what they mean."""

HEADINGS = (
    "drafter",
    "tokens/s",
    "speed-up (95 %)",
    "tokens/step",
    "per prompt",
    "draft ms",
    "verify ms",
    "other ms",
    "parameters",
)
LEAD_HEADINGS = ("drafter", "over", "tokens/step (95 %)", "speed (95 %)")
DEFINITIONS = (
    "tokens/s: new tokens over seconds, prefill included; for each prompt, the repeat with the median time counts.",
    "speed-up: seconds of plain decoding over seconds of the drafter, both in one process and in turn; in brackets its "
    "95 % bootstrap interval over the prompts.",
    "tokens/step: the acceptance length, tokens decided per pass of the target, bonus token included, over all steps; "
    "per prompt: the mean of each prompt's own.",
    "draft, verify, other: milliseconds per step in the drafter, in the target's passes over trees, and elsewhere: "
    "prefill and the decoding loop. They add up to the time of a step.",
    "parameters: the weights that drafting needs besides the target's own.",
    "lead: tokens/step and tokens/s over all prompts, of the first drafter and others of its kind, divided by those of "
    "each drafter of another kind, where both gave plain decoding's texts; with 95 % bootstrap intervals.",
    "looping: fewer than half of the runs of eight tokens in a text are distinct. That is easy to draft; the figures "
    "without such texts stand below.",
)
