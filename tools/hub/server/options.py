"""What the options of `redpoll hub` ask for, checked."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from tools.hub.broker.address import BrokerAddress, BrokerChoice, parse_broker
from tools.hub.data_folder import KEY_FILE, READY_FILE
from tools.hub.domain import retention
from tools.hub.facets.astarte.mqtt import REALM
from tools.hub.hub import Settings
from tools.hub.security.authority import Authority, check_host
from tools.hub.security.certificates import Certificates
from tools.hub.security.rates import LIMIT_MAX as RATE_LIMIT_MAX
from tools.hub.security.signer import Signer
from tools.hub.server.folder import LICENSE_KEY_FILE, StartError, cannot_write, is_full, kept_key


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings of the hub on a data directory that is held. Raises StartError."""
    data: Path = args.data
    try:
        (data / READY_FILE).unlink(missing_ok=True)
        key = args.operator_key or os.environ.get("REDPOLL_OPERATOR_KEY") or kept_key(data / KEY_FILE)
    except OSError as error:
        raise cannot_write(data, error) from error
    database = args.database or os.environ.get("REDPOLL_DATABASE") or f"sqlite:///{(data / 'hub.sqlite').resolve()}"
    return Settings(
        keepalive=args.keepalive,
        data=data, operator_key=key, database_url=database, signer=signer_of(args),
        public_url=args.public_url and args.public_url.rstrip("/"), lenient=args.lenient, offline_after=args.offline_after,
        share_group=args.share, kapua_fold=args.kapua_fold, rate_limit=args.rate_limit, astarte_realm=args.astarte_realm,
        keep=retention.Keep(args.keep_days or None, args.keep_messages),
    )  # fmt: skip


def check_values(args: argparse.Namespace) -> None:
    """Raises StartError for a number or a name that cannot be."""
    for option, seconds in (("--offline-after", args.offline_after), ("--keepalive", args.keepalive)):
        if not seconds > 0:
            raise StartError(f"{option}: the seconds must be more than 0")
    if not REALM.fullmatch(args.astarte_realm):
        raise StartError(f"--astarte-realm {args.astarte_realm}: a realm is a small letter and up to 47 small letters and digits")
    if args.rate_limit is not None and not 1 <= args.rate_limit <= RATE_LIMIT_MAX:
        raise StartError(f"--rate-limit: the requests within 30 s must be 1 to {RATE_LIMIT_MAX}")
    if not args.keep_days >= 0 or args.keep_messages < 1:
        raise StartError("--keep-days, --keep-messages: keep 0 days (for ever) or more, and 1 message or more")
    public = urlsplit(args.public_url or "http://any")
    if public.scheme not in ("http", "https") or not public.hostname:
        raise StartError(f"--public-url {args.public_url}: write an http:// or https:// address")


def broker_choice(args: argparse.Namespace) -> BrokerChoice:
    """The broker, with the login and CA of another one. Raises BrokerError and StartError."""
    choice = parse_broker(args.broker)
    if choice.address is None:
        for option, value in (("--broker-login", args.broker_login), ("--broker-ca", args.broker_ca)):
            if value is not None:
                raise StartError(f"{option}: the hub starts this broker itself; it is for --broker mqtt(s)://host")
        return choice
    return replace(choice, address=_with_ca(_with_login(choice.address, args.broker_login), args.broker_ca))


def _with_login(address: BrokerAddress, file: Path | None) -> BrokerAddress:
    login = os.environ.get("REDPOLL_BROKER_LOGIN", "")
    if file is not None:
        try:
            login = file.read_text().strip()
        except (OSError, ValueError) as error:
            raise StartError(f"--broker-login {file}: {getattr(error, 'strerror', None) or 'not a text'}") from None
    if not login:
        return address
    username, colon, password = login.partition(":")
    if not username or not colon or "\n" in login:
        where = "REDPOLL_BROKER_LOGIN" if file is None else f"--broker-login {file}"
        raise StartError(f"{where}: write one line USER:PASSWORD")
    return replace(address, username=username, password=password)


def _with_ca(address: BrokerAddress, ca: Path | None) -> BrokerAddress:
    if ca is None:
        return address
    address = replace(address, ca=ca)
    try:
        address.tls_context()
    except OSError as error:  # ssl.SSLError is one
        raise StartError(f"--broker-ca {ca}: {error.strerror or 'no certificate in PEM'}") from None
    return address


def certificates_of(args: argparse.Namespace) -> Certificates:
    """The CA and certificate of this data directory, made when there are none. Raises StartError."""
    for name in args.host_name:
        try:
            check_host(name)
        except ValueError as error:
            raise StartError(f"--host-name: {error}") from None
    try:
        return Certificates(args.data, args.host, urlsplit(args.public_url or "").hostname, *args.host_name)
    except (OSError, ValueError) as error:
        raise _no_ca(args.data, error) from None


def authority_of(data: Path) -> Authority:
    """The CA of this data directory, made when there is none. Raises StartError."""
    try:
        return Authority.kept(data)
    except (OSError, ValueError) as error:
        raise _no_ca(data, error) from None


def signer_of(args: argparse.Namespace) -> Signer:
    """The key that signs licences; made, readable by its owner only, when there is none yet. Raises StartError."""
    path: Path = args.license_key or args.data / LICENSE_KEY_FILE
    try:
        return Signer.kept(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        if is_full(error):
            raise StartError(f"--license-key {path}: {why}; make room there", 1) from error
        raise StartError(f"--license-key {path}: {why}; give an RSA key in PEM, or a place where one can be made") from error


def _no_ca(data: Path, error: OSError | ValueError) -> StartError:
    if is_full(error):
        return cannot_write(data, error)
    why = error.strerror if isinstance(error, OSError) else error
    return StartError(f"--data {data}: no CA: {why}; remove that file for a new CA (boards must then be given it), or use --no-tls")
