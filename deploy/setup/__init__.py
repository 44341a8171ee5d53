"""Downloads, patches and checks what the embedded stack needs: no root, Docker or system Java.

Every step is resumable: it writes beside its target, verifies, renames, and leaves a stamp with a
digest of its inputs. A second run only reads the stamps. The steps import only the standard
library, so that they also work in an incomplete environment.
"""
