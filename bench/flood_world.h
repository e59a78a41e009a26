// SPDX-License-Identifier: Apache-2.0
//
// A good transfer beside a flood, in virtual time: two sessions joined by the in-memory wire, and
// hostile frames that reach the server's NIC between the good ones. Single thread.

#pragma once

namespace devmem::bench {

// How long 16 MiB take over 1 Gbit/s and 1 ms each way, in virtual seconds. With `flooded`, a
// hostile frame arrives for each good one, every 12 us, of all kinds in turn, aimed at the
// transfer's listener and at another connection of the same server. 0: it did not end.
double TransferSeconds(bool flooded);

}  // namespace devmem::bench
