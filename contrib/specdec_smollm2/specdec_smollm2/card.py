"""The model card of a head: what it is, and how it was trained."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from statistics import fmean
from typing import Any

from attrs import frozen

OPTION, OF = "option ", " of "


@frozen(slots=False)
class Run:
    """A finished run of `specdec train` over several heads: its settings, and the trainer's state at its end."""

    settings: Mapping[str, Any]
    state: Mapping[str, Any]

    @cached_property
    def heads(self) -> dict[str, str]:
        """Methods by the names of their heads."""
        return dict(head.removesuffix(")").split(" (") for head in self.settings["heads"])

    def options(self, head: str) -> dict[str, Any]:
        """Give the options of a head."""
        ends = f"{OF}{head}"
        return {
            key[len(OPTION) : -len(ends)]: value
            for key, value in self.settings.items()
            if key.startswith(OPTION) and key.endswith(ends)
        }

    def losses(self, head: str) -> dict[str, float]:
        """Give the means of a head's losses over the last tenth of the steps."""
        logs = [{"step": 0}, *(entry for entry in self.state["log_history"] if f"{head}/loss" in entry)]
        late = [(new, new["step"] - old["step"]) for old, new in pairwise(logs) if new["step"] > 0.9 * logs[-1]["step"]]
        entries, steps = zip(*late, strict=True)
        names = (key.removeprefix(f"{head}/") for key in entries[-1] if key.startswith(f"{head}/"))
        return {
            name: fmean((entry[f"{head}/{name}"] for entry in entries), steps)
            for name in names
            if name not in ("grad_norm", "learning_rate")
        }


@frozen
class Card:
    """What is said of one head."""

    head: str
    method: str
    run: Run
    parameters: int

    def text(self) -> str:
        """Give the text of README.md."""
        settings, state = self.run.settings, self.run.state
        options = "\n".join(f"|`{key}`|{value}|" for key, value in self.run.options(self.head).items())
        losses = "\n".join(f"|{name}|{value:.4g}|" for name, value in self.run.losses(self.head).items())
        return f"""---
license: apache-2.0
library_name: specdec
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---

# smollm2-{self.head}

A head of specdec's method `{self.method}` for SmolLM2 135M Instruct: {self.parameters:,} parameters,
stored in float16.

```bash
specdec generate --target smollm2 --drafter {self.method}:smollm2-{self.head} "How do I boil an egg?" --compare
```

## Training

{state["global_step"]:,} steps of {settings["batch"]} texts, {state["epoch"]:.3g} passes over the dialogues of this
package, which the target made up itself. All heads learnt from the same batches, by specdec's recipe
`{settings["recipe"]}`.

|option|value|
|---|---|
{options}

Losses, as means over the last tenth of the steps:

|part|mean|
|---|---|
{losses}
"""
