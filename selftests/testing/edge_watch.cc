// SPDX-License-Identifier: Apache-2.0
// What each peer was told.

#include "selftests/testing/edge_watch.h"

#include "absl/strings/str_cat.h"

namespace devmem::testing {

void EdgeWatch::OnEmit(const OutSegment& segment) {
  // Nobody looks at the window of a reset.
  if ((segment.flags & kTcpRst) != 0) return;
  const bool syn = (segment.flags & kTcpSyn) != 0;
  const TcpConnection* connection = engine_->Lookup(segment.flow);
  const ConnectionId id = connection == nullptr ? ConnectionId() : engine_->IdOf(*connection);
  const auto [place, is_new] = told_.try_emplace(segment.flow);
  Told& told = place->second;
  if ((segment.flags & kTcpAck) == 0) {
    const bool again = !is_new && told.by_syn && told.id == id;
    const uint32_t before = again ? told.syn_bytes : 0;
    if (segment.window < before && fault_.empty()) {
      fault_ = absl::StrCat("the window of a SYN fell from ", before, " to ", segment.window);
    }
    told = Told();
    told.id = id;
    told.by_syn = true;
    told.syn_bytes = segment.window;
    return;
  }
  const uint8_t scale = syn || connection == nullptr ? uint8_t{0} : connection->rcv_scale;
  const SeqNum first = connection == nullptr ? segment.ack : connection->irs + 1;
  const SeqNum edge = segment.ack + DecodeWindow(segment.window, scale);
  const bool by_cookie = told.id == ConnectionId();
  // Nothing remembers a cookie: the same SYN that comes again is promised what there is then.
  const bool forgotten = by_cookie && syn && connection != nullptr;
  const bool known = !is_new && !forgotten && (by_cookie ? told.first == first : told.id == id);
  const SeqNum before = told.by_syn ? first + told.syn_bytes : told.edge;
  if (known && edge < before && fault_.empty()) {
    fault_ =
        absl::StrCat("the right edge moved left by ", before.value() - edge.value(), " bytes: ACK ",
                     segment.ack.value(), ", window ", segment.window, " scaled by ", scale);
  }
  told.edge = !known || edge > before ? edge : before;
  told.id = id;
  told.first = first;
  told.by_syn = false;
}

}  // namespace devmem::testing
