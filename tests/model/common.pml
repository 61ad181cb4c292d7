/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common.pml: what all models share.
 *
 * An `atomic` is one step: nobody sees what is between, and no state is kept of it. So a hidden
 * variable may be used within one, and means nothing after it.
 */

/* What must hold. `what` is a hidden variable, always 0: the verifier's message has its name, and
 * runs.txt expects it. */
#define CHECK(what, ok) assert((ok) || what)

/* run.py: a good run must come here; KEY(A): if it has the switch A. */
#define KEY(switch) key = 1
hidden byte key;

#define WHEN(c, then) if :: (c) -> then :: else fi

/* How often what may happen: a model's header says what. */
#ifndef SHARE
#define SHARE 0
#endif
#ifndef ERRS
#define ERRS 0
#endif
#ifndef FAILS
#define FAILS 0
#endif
#ifndef WIPES
#define WIPES 0
#endif
#ifndef BACKS
#define BACKS 0
#endif
#ifndef TRIMS
#define TRIMS 0
#endif
#ifndef KEYS
#define KEYS 0
#endif
#ifndef LOWS
#define LOWS 0
#endif
#ifndef ROTATES
#define ROTATES 0
#endif
#ifndef DROPS
#define DROPS 0
#endif
#ifndef CHOKES
#define CHOKES 0
#endif
#ifndef LEAVES
#define LEAVES 0
#endif
