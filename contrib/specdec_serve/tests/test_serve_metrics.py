"""Counters say what happened, and of nobody who it was."""

import httpx
from prometheus_client.parser import text_string_to_metric_families
from serving import NAME, RIGHT, TENANTS, listening, serving, target
from specdec_serve import WebSocket

from specdec import Decoder, Sampling, Stop, Target, load_drafter
from specdec.remote import Remote


def test_what_happened_is_counted() -> None:
    model = target()
    with (
        serving(Target(model.model, tokenizer=model.tokenizer), tenants=TENANTS) as service,
        listening(service) as server,
    ):
        remote = Remote(lambda: WebSocket.to(f"ws://{server.address}", RIGHT), model.tokenizer)
        with Decoder(load_drafter("ngram"), remote) as decoder:
            found = decoder.generate([5, 6, 7] * 4, Sampling(), Stop(40))
        headers = {"Authorization": f"Bearer {RIGHT}"}
        body = {"model": NAME, "prompt": "abc", "max_tokens": 7, "temperature": 0}
        httpx.post(f"http://{server.address}/v1/completions", json=body, headers=headers)
        text = httpx.get(f"http://{server.address}/metrics", headers=headers).text

    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    values = {sample.name: sample.value for sample in samples}
    summary = found.metrics
    own = values["specdec_generation_tokens_total"] - len(found.tokens[0])
    assert values["specdec_verify_forward_seconds_count"] >= summary.steps
    assert values["specdec_spec_decode_num_drafts_total"] == values["specdec_verify_queue_seconds_count"]
    assert own == 7
    assert (
        values["specdec_generation_tokens_total"]
        == values["specdec_spec_decode_num_accepted_tokens_total"] + values["specdec_spec_decode_num_drafts_total"]
    )
    assert values["specdec_time_to_first_token_seconds_count"] == 1
    assert {sample.labels["direction"] for sample in samples if sample.name == "specdec_frame_bytes_total"} == {
        "up",
        "down",
    }
    assert {label for sample in samples for label in sample.labels} <= {
        "model_name",
        "le",
        "direction",
        "status",
        "kv",
        "code",
    }
    assert "alice" not in text
