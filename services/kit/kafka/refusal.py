"""Why a broker will not have us: aiokafka's clients say only that they could not bootstrap, whatever it was.

So when one of them has failed, the cause is looked for once more by hand. A wrong login or certificate will
not mend by waiting; a connection that is dropped may be a broker that is still starting.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

TIMEOUT_MS: Final = 5000


class Refusal(NamedTuple):
    """What is wrong, for a person; empty when nothing was found. ``final``: waiting will not mend it."""

    text: str = ""
    final: bool = False


async def refusal(options: Mapping[str, Any]) -> Refusal:
    """Why none of the ``bootstrap_servers`` lets us in; ``options`` are those of an aiokafka client."""
    rest = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    found = []
    for host, port, _ in collect_hosts(options["bootstrap_servers"]):
        one = await _refusal_of(host, port, rest)
        if not one.text:
            return one
        found.append(one)
    return Refusal("; ".join(one.text for one in found), all(one.final for one in found))


async def _refusal_of(host: str, port: int, options: Mapping[str, Any]) -> Refusal:
    where = f"Kafka at {host}:{port}"
    security = str(options["security_protocol"]).lower()
    connection: AIOKafkaConnection | None = None
    try:
        connection = await create_conn(host, port, request_timeout_ms=TIMEOUT_MS, **options)
        await connection.send(MetadataRequest([]))
    except (AuthenticationFailedError, SaslAuthenticationFailed):
        user = options.get("sasl_plain_username", "")
        text = f"{where} refuses user {user!r}: look at TDS_KAFKA_USER and TDS_KAFKA_PASSWORD"
        return Refusal(text, final=True)
    except UnsupportedSaslMechanismError:
        mechanism = options.get("sasl_mechanism", "")
        return Refusal(f"{where} takes no login by TDS_KAFKA_MECHANISM={mechanism}", final=True)
    except IllegalSaslStateError:
        return Refusal(f"{where} takes no login at all, and TDS_KAFKA_SECURITY is {security}", final=True)
    except ssl.SSLCertVerificationError as error:
        text = (
            f"{where} shows a certificate that is not trusted here: {error.verify_message} "
            "(SSL_CERT_FILE may name a file of authorities to trust)"
        )
        return Refusal(text, final=True)
    except ssl.SSLError as error:
        return Refusal(f"{where} speaks no TLS that TDS_KAFKA_SECURITY={security} could use: {error.reason}")
    except (KafkaConnectionError, ConnectionResetError):
        text = (
            f"{where} takes connections and drops them: it is still starting, or wants something else than "
            f"TDS_KAFKA_SECURITY={security}"
        )
        return Refusal(text)
    except (KafkaError, OSError) as error:
        text = (
            f"{where} does not answer ({error or type(error).__name__}). Is it running "
            "(`docker compose up -d`, `docker compose logs kafka`), and is TDS_KAFKA right?"
        )
        return Refusal(text)
    finally:
        if connection is not None:
            connection.close()
    return Refusal()
