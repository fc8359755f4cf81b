"""Every error that the SDK raises, in one tree::

    PayrocError
    ├─ ConfigurationError                       also a ValueError
    ├─ SessionClosedError
    ├─ WrongEventLoopError                      called outside of the session's loop or process
    ├─ TransportError                           no answer: refused, reset, DNS, TLS …
    │   └─ RequestTimeoutError
    ├─ ResponseFormatError                      an answer that breaks the contract
    ├─ APIError                                 the gateway answered with an error
    │   ├─ BadRequestError 400
    │   ├─ AuthenticationError 401
    │   ├─ ForbiddenError 403
    │   ├─ NotFoundError 404
    │   ├─ ConflictError 409
    │   │   └─ IdempotencyKeyInUseError
    │   ├─ RateLimitedError 429
    │   └─ ServerError 5xx
    ├─ DeviceBusyError                          another instruction is unfinished on that device
    ├─ JournalError                             the journal can't be read or written
    │   └─ LeaseLost                            another process or session runs the instruction
    ├─ PaymentDeclinedError                     from Payment.raise_for_decline() alone
    ├─ RefundDeclinedError                      from Refund.raise_for_decline() alone
    └─ InstructionError                         the instruction ended without its resource
        ├─ InstructionFailedError
        ├─ InstructionCanceledError
        ├─ InstructionTimeoutError
        └─ OutcomeUnknownError

Each error has its data as attributes and in its text. No text holds an API key, a token or card
data.
"""

from .api_errors import *
from .base_errors import *
from .instruction_errors import *

__all__ = [
    "APIError",
    "AuthenticationError",
    "BadRequestError",
    "ConfigurationError",
    "ConflictError",
    "DeviceBusyError",
    "ForbiddenError",
    "IdempotencyKeyInUseError",
    "InstructionCanceledError",
    "InstructionError",
    "InstructionFailedError",
    "InstructionTimeoutError",
    "JournalError",
    "LeaseLost",
    "NotFoundError",
    "OutcomeUnknownError",
    "PaymentDeclinedError",
    "PayrocError",
    "Problem",
    "ProblemDetail",
    "RateLimitedError",
    "RefundDeclinedError",
    "RequestTimeoutError",
    "ResponseFormatError",
    "ServerError",
    "SessionClosedError",
    "TransportError",
    "WrongEventLoopError",
]
