"""OpenAI's own client reads what plain decoding says."""

from collections.abc import Iterator

import httpx
import openai
import pytest
from serving import NAME, RIGHT, TENANTS, listening, plain, serving, target
from specdec_serve import Draining, Service

from specdec import Sampling, Stop, Target

CHAT = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "abc"}]


@pytest.fixture(scope="module")
def model() -> Target:
    return target()


@pytest.fixture(scope="module")
def service(model: Target) -> Iterator[Service]:
    with serving(Target(model.model, tokenizer=model.tokenizer), tenants=TENANTS) as service:
        yield service


@pytest.fixture(scope="module")
def server(service: Service) -> Iterator[Draining]:
    with listening(service) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Draining) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://{server.address}/v1", api_key=RIGHT, max_retries=0) as client:
        yield client


def chat_prompt(model: Target) -> list[int]:
    tokens: list[int] = model.tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=True)[
        "input_ids"
    ]
    return tokens


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.0}, {"temperature": 1.0, "seed": 4}, {"temperature": 0.7, "top_p": 0.9, "seed": 2**40}],
)
def test_a_chat_is_plain_decoding(model: Target, client: openai.OpenAI, options: dict[str, float]) -> None:
    text, count = plain(model, chat_prompt(model), Sampling(**options), Stop(60))

    pieces = client.chat.completions.create(
        model=NAME, messages=CHAT, max_tokens=60, stream=True, stream_options={"include_usage": True}, **options
    )
    chunks = list(pieces)
    whole = client.chat.completions.create(model=NAME, messages=CHAT, max_completion_tokens=60, **options)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert whole.choices[0].message.content == text
    assert chunks[-1].usage == whole.usage
    assert whole.usage.completion_tokens == count
    assert whole.usage.prompt_tokens == len(chat_prompt(model))
    assert {whole.choices[0].finish_reason, chunks[-2].choices[0].finish_reason} == {
        "length" if count == 60 else "stop"
    }


def test_an_answer_is_sent_back_as_it_came(model: Target, client: openai.OpenAI) -> None:
    """As chats are held with this client: the answer's message becomes a message of the next request."""
    first = client.chat.completions.create(model=NAME, messages=CHAT, temperature=0, max_tokens=5).choices[0].message
    chat = [*CHAT, {"role": "assistant", "content": first.content}, {"role": "user", "content": "xy"}]
    tokens = model.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]

    found = client.chat.completions.create(model=NAME, messages=[*CHAT, first, chat[-1]], temperature=0, max_tokens=5)

    assert found.choices[0].message.content == plain(model, tokens, Sampling(), Stop(5))[0]


def test_several_prompts_have_several_answers_each(model: Target, client: openai.OpenAI) -> None:
    found = client.completions.create(model=NAME, prompt=["abc", "xy z"], n=2, temperature=1, seed=9, max_tokens=20)

    prompts = [model.tokenizer(text)["input_ids"] for text in ("abc", "abc", "xy z", "xy z")]
    expected = [plain(model, row, Sampling(temperature=1.0, seed=9 + i), Stop(20))[0] for i, row in enumerate(prompts)]
    assert [choice.text for choice in found.choices] == expected
    assert found.usage.prompt_tokens == len(prompts[0]) + len(prompts[2])


def test_a_prompt_may_be_tokens(model: Target, client: openai.OpenAI) -> None:
    found = client.completions.create(model=NAME, prompt=[5, 6, 7], temperature=0)

    assert found.choices[0].text == plain(model, [5, 6, 7], Sampling(), Stop(16))[0]


def test_a_stop_string_is_no_part_of_the_text(model: Target, client: openai.OpenAI) -> None:
    text, _ = plain(model, [5, 6, 7], Sampling(temperature=1.0, seed=3), Stop(40))
    stop = text[10:13]

    pieces = client.completions.create(
        model=NAME, prompt=[5, 6, 7], temperature=1, seed=3, max_tokens=40, stop=[stop, "not there"], stream=True
    )
    chunks = list(pieces)

    assert "".join(chunk.choices[0].text for chunk in chunks) == text[: text.index(stop)]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_bias_is_added(model: Target, client: openai.OpenAI) -> None:
    found = client.completions.create(model=NAME, prompt=[5, 6], temperature=0, logit_bias={"20": 100}, max_tokens=3)

    assert found.choices[0].text == model.tokenizer.decode([20, 20, 20])


def test_without_a_seed_texts_differ(client: openai.OpenAI) -> None:
    texts = {client.completions.create(model=NAME, prompt="abc", temperature=1).choices[0].text for _ in range(3)}

    assert len(texts) > 1


def test_the_model_is_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [NAME]


def test_a_model_is_found_by_its_name(service: Service, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of the hub have a slash in them."""
    monkeypatch.setattr(service, "name", "owner/toy")
    assert client.models.retrieve("owner/toy") == client.models.list().data[0]
    with pytest.raises(openai.NotFoundError, match="expected the model 'owner/toy', got 'toy'"):
        client.models.retrieve("toy")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/chat", 404), ("GET", "/v1/completions", 405)])
def test_what_there_is_not_is_said_in_the_same_form(server: Draining, method: str, path: str, status: int) -> None:
    reply = httpx.request(method, f"http://{server.address}{path}")

    assert reply.status_code == status
    assert f"got {method} {path}" in reply.json()["error"]["message"]
    assert reply.headers.get("Allow") == (None if status == 404 else "POST")


WRONG = {
    "another model": ({"model": "gpt-5"}, 404, "gpt-5"),
    "tools": ({"tools": [{"type": "function"}]}, 400, "tools"),
    "log probabilities": ({"logprobs": 3}, 400, "logprobs"),
    "a penalty": ({"presence_penalty": 0.5}, 400, "presence_penalty"),
    "no answers": ({"n": 0}, 400, "1 to 64 answers"),
    "many answers": ({"n": 65}, 400, "1 to 64 answers"),
    "no prompt": ({"prompt": []}, 400, "at least one token"),
    "an empty prompt": ({"prompt": ""}, 400, "at least one token"),
    "a prompt of several kinds": ({"prompt": [1, "a"]}, 400, "token ids"),
    "unknown tokens": ({"prompt": [10**9]}, 400, "ids of prompt 0"),
    "too long": ({"max_tokens": 600}, 400, "512 positions"),
    "no tokens": ({"max_tokens": 0}, 400, "max_tokens"),
    "no temperature": ({"temperature": -1}, 400, "temperature"),
    "an empty stop": ({"stop": ""}, 400, "stop strings"),
    "a number for text": ({"stop": 3}, 400, "stop"),
    "many stops": ({"stop": ["a", "b", "c", "d", "e"]}, 400, "<= 4"),
    "a long stop": ({"stop": ["a" * 129]}, 400, "<= 128"),
    "an endless bias": ({"logit_bias": {5: 1e308}}, 400, "bias"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("body", "status", "reason"), WRONG.values(), ids=list(WRONG))
def test_what_means_nothing_is_refused(
    service: Service, server: Draining, body: dict[str, object], status: int, reason: str, stream: bool
) -> None:
    whole = {"model": NAME, "prompt": "abc", "stream": stream, **body}
    reply = httpx.post(
        f"http://{server.address}/v1/completions", json=whole, headers={"Authorization": f"Bearer {RIGHT}"}
    )

    assert reply.status_code == status
    assert reason in reply.json()["error"]["message"]
    assert service.turns.running == 0


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"model": 3}', b"[" * 5000])
def test_what_is_no_request_is_refused(server: Draining, data: bytes) -> None:
    reply = httpx.post(
        f"http://{server.address}/v1/completions", content=data, headers={"Authorization": f"Bearer {RIGHT}"}
    )

    assert reply.status_code == 400


def test_a_large_body_is_not_read(server: Draining) -> None:
    reply = httpx.post(
        f"http://{server.address}/v1/completions", content=b" " * 2**21, headers={"Authorization": f"Bearer {RIGHT}"}
    )

    assert reply.status_code == 413
