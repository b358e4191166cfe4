"""The secrets of profiles as they are stored: opened, or known to be lost. A lost one is never the same as none."""

from dataclasses import replace

from postroom.domain.destination import Secrets
from postroom.domain.problems import SecretLost
from postroom.domain.profile import KEEP, SECRET_FIELDS, Patch
from postroom.domain.secret import Secret
from postroom.store import profiles, sign_ins
from postroom.store.profiles import StoredProfile
from postroom.store.vault import Vault

_PLACES = {"password": profiles.place, "refresh_token": sign_ins.place}


class StoredSecrets:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def of(self, stored: StoredProfile) -> Secrets:
        """Raises SecretLost."""
        secrets, lost = self.what_opens(stored)
        for problem in lost.values():
            raise problem
        return secrets

    def what_opens(self, stored: StoredProfile | None) -> tuple[Secrets, dict[str, SecretLost]]:
        """The secrets, and by field why one can't be opened."""
        found: dict[str, Secret] = {}
        lost: dict[str, SecretLost] = {}
        if stored is None:
            return Secrets(), lost
        sign_in = stored.sign_in
        sealed = {"password": stored.sealed_password, "refresh_token": sign_in.sealed if sign_in else None}
        for field, text in sealed.items():
            if text is not None:
                try:
                    found[field] = self._vault.open(text, _PLACES[field](stored.tenant_id, stored.id))
                except SecretLost as problem:
                    lost[field] = problem
        return Secrets(**found), lost

    def to_change(self, stored: StoredProfile | None, patch: Patch) -> Secrets:
        """What a change has to start from. Raises SecretLost unless the patch has something in place of what is lost:
        it would be gone without a word."""
        secrets, lost = self.what_opens(stored)
        for field, problem in lost.items():
            if getattr(patch, field) is KEEP:
                raise problem
        return secrets

    def is_lost(self, stored: StoredProfile | None, field: str) -> bool:
        return field in self.what_opens(stored)[1]

    def changed(self, before: StoredProfile | None, after: Secrets) -> dict[str, str]:
        """Each that is another now, with what became of it. One that is lost is another than any."""
        old, lost = self.what_opens(before)
        return {
            field: "changed" if getattr(after, field) else "cleared"
            for field in SECRET_FIELDS
            if field in lost or getattr(after, field) != getattr(old, field)
        }

    def seen(self, stored: StoredProfile) -> StoredProfile:
        """With the trouble that perhaps no attempt has met yet."""
        for problem in self.what_opens(stored)[1].values():
            return replace(stored, trouble=problem.message)
        return stored
