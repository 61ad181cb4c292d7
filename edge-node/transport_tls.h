/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tls.h: can these files be the client port's certificate and key? libwebsockets only
 * says that something is wrong. @thread boot
 */
#pragma once

#include "common/base/base.h"

/* 0, or -EINVAL with why: `tls_key: /etc/fanfare/key.pem: …`. */
int transport_tls_check(const char *certificate, const char *key, char *why,
                        size_t why_size) _must_check_;
