"""Registration: the modality `text`, the encoder and the space `minilm`."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.api import EncoderSpec, HealthCheckSpec, ModalitySpec, SpaceSpec, hookimpl


@hookimpl
def vlcli_modalities() -> Iterator[ModalitySpec]:
    yield ModalitySpec(
        name="text",
        summary="sentences: every line of a .txt file, or a whole .md file",
        target="vlcli_text.modality:Text",
        extensions=(".txt", ".md"),
    )


@hookimpl
def vlcli_encoders() -> Iterator[EncoderSpec]:
    yield EncoderSpec(
        name="minilm",
        summary="all-MiniLM-L6-v2, 22M parameters, 384 numbers, English sentences, offline",
        target="vlcli_text.encoders:MiniLM",
        options="vlcli_text.options:MiniLMOptions",
        license="Apache-2.0",
        modality="text",
    )
    yield EncoderSpec(
        name="small-gru",
        summary="a small recurrent tower with a word vocabulary, to train from scratch",
        target="vlcli_text.small_gru:SmallGRU",
        options="vlcli_text.options:SmallGRUOptions",
        modality="text",
    )


@hookimpl
def vlcli_spaces() -> Iterator[SpaceSpec]:
    yield SpaceSpec(
        name="minilm",
        summary="sentences by meaning (all-MiniLM-L6-v2), offline",
        target="vlcli_text.spaces:minilm",
        options="vlcli_text.options:MiniLMOptions",
        license="Apache-2.0",
        modalities=("text",),
    )


@hookimpl
def vlcli_health_checks() -> Iterator[HealthCheckSpec]:
    yield HealthCheckSpec(
        name="minilm-weights",
        summary="the MiniLM weights are installed and are the published ones",
        target="vlcli_text.encoders:check_weights",
    )
