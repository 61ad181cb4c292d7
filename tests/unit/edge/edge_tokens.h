/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge_tokens.h: tokens made once, signed with HS256 and TOKEN_SECRET (a test's own, of course).
 */
#pragma once

#define TOKEN_SECRET "0123456789abcdef0123456789abcdef"
/* sub u, channels ["a"], allow ["priv:x", "priv:team-*"] */
#define TOKEN_USER                                                                     \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1IiwiY2hhbm5lbHMiOlsiYSJdLCJhbGx" \
    "vdyI6WyJwcml2OngiLCJwcml2OnRlYW0tKiJdfQ.GalHxttfYR2wnPAy57Z8tJZf0EQc5yoOWZdo8eOe" \
    "-Ok"
/* sub u, channel priv:s */
#define TOKEN_SUB                                                                      \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1IiwiY2hhbm5lbCI6InByaXY6cyJ9.FG" \
    "c44BVPunMnVaVoWvFlskXCA_v-ZeXVTx9JCg4eeWY"
/* sub u, exp 1000 */
#define TOKEN_OLD                                                                      \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1IiwiZXhwIjoxMDAwfQ.DPb_aA5mGgPu" \
    "NwwJ80D0CKk4xNeeBCAtj6v1SS4D-3s"
/* sub u, channels ["a", "c", "any:s", "none:s"] */
#define TOKEN_WAITS                                                                    \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1IiwiY2hhbm5lbHMiOlsiYSIsImMiLCJ" \
    "hbnk6cyIsIm5vbmU6cyJdfQ.lbgE12QHKzbgo_c-1cPPftPsELHYfDhw_u6xTdb9TWk"
/* sub u, channels ["a", "c", "any:a"] */
#define TOKEN_SUBS                                                                     \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1IiwiY2hhbm5lbHMiOlsiYSIsImMiLCJ" \
    "hbnk6YSJdfQ._ldLkeiF4N9Z7QeUGkTa0NcTNERhroSuf8TyB0lbWHM"
