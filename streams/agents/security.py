"""The connection to Kafka as aiokafka and Faust want it: TLS contexts and SASL, from the settings."""

import ssl
from typing import Any

import faust

from streams.errors import Misuse
from streams.settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the TLS context of the Kafka connection, None for a connection without TLS.

    Raises:
        Misuse: a certificate or key file can't be used, naming the settings.
    """
    if not settings.kafka_security.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
        if settings.kafka_cert_file is not None:
            context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file)
    except (OSError, ssl.SSLError) as exc:
        raise Misuse(f"kafka_ca_file, kafka_cert_file or kafka_key_file: {exc}") from exc
    return context


def aiokafka_security(settings: Settings) -> dict[str, Any]:
    """Return the security arguments of an aiokafka client."""
    arguments: dict[str, Any] = {
        "security_protocol": settings.kafka_security,
        "ssl_context": tls_context(settings),
    }
    if settings.kafka_security.startswith("SASL"):
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism
        arguments["sasl_plain_username"] = settings.kafka_username
        arguments["sasl_plain_password"] = _password(settings)
    return arguments


def faust_credentials(settings: Settings) -> Any:
    """Return Faust's `broker_credentials`, None for a plain connection."""
    context = tls_context(settings)
    if settings.kafka_security.startswith("SASL"):
        return faust.SASLCredentials(
            username=settings.kafka_username,
            password=_password(settings),
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else faust.SSLCredentials(context)


def _password(settings: Settings) -> str | None:
    return None if settings.kafka_password is None else settings.kafka_password.get_secret_value()
