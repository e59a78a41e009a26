// SPDX-License-Identifier: Apache-2.0
//
// The names of the data plane's counters: one table, from which both order and spelling come.

#include "netmem/gvnic/data_path_stats.h"

#include <iterator>

namespace devmem {
namespace {

struct Entry {
  const char* name;
  uint64_t DataPathStats::*count;
};

constexpr Entry kEntries[] = {
    {"tx_packets", &DataPathStats::tx_packets},
    {"tx_bytes", &DataPathStats::tx_bytes},
    {"tx_super_frames", &DataPathStats::tx_super_frames},
    {"tx_checksums", &DataPathStats::tx_checksums},
    {"tx_checksums_skipped", &DataPathStats::tx_checksums_skipped},
    {"tx_drop_link_down", &DataPathStats::tx_drop_link_down},
    {"tx_drop_descriptor", &DataPathStats::tx_drop_descriptor},
    {"tx_drop_tag", &DataPathStats::tx_drop_tag},
    {"tx_drop_memory", &DataPathStats::tx_drop_memory},
    {"tx_drop_tso", &DataPathStats::tx_drop_tso},
    {"tx_drop_size", &DataPathStats::tx_drop_size},
    {"tx_ring_faults", &DataPathStats::tx_ring_faults},
    {"bad_doorbells", &DataPathStats::bad_doorbells},
    {"rx_packets", &DataPathStats::rx_packets},
    {"rx_bytes", &DataPathStats::rx_bytes},
    {"rx_super_frames", &DataPathStats::rx_super_frames},
    {"rx_cut_super_frames", &DataPathStats::rx_cut_super_frames},
    {"rx_rsc_packets", &DataPathStats::rx_rsc_packets},
    {"rx_rsc_frames", &DataPathStats::rx_rsc_frames},
    {"rx_rsc_end_push", &DataPathStats::rx_rsc_end_push},
    {"rx_rsc_end_segment_size", &DataPathStats::rx_rsc_end_segment_size},
    {"rx_rsc_end_order", &DataPathStats::rx_rsc_end_order},
    {"rx_rsc_end_headers", &DataPathStats::rx_rsc_end_headers},
    {"rx_rsc_end_not_data", &DataPathStats::rx_rsc_end_not_data},
    {"rx_rsc_end_full", &DataPathStats::rx_rsc_end_full},
    {"rx_rsc_end_evicted", &DataPathStats::rx_rsc_end_evicted},
    {"rx_rsc_end_batch", &DataPathStats::rx_rsc_end_batch},
    {"rx_rsc_end_stop", &DataPathStats::rx_rsc_end_stop},
    {"rx_split", &DataPathStats::rx_split},
    {"rx_header_overflows", &DataPathStats::rx_header_overflows},
    {"rx_checksum_errors", &DataPathStats::rx_checksum_errors},
    {"rx_steered_by_rule", &DataPathStats::rx_steered_by_rule},
    {"rx_held", &DataPathStats::rx_held},
    {"rx_drop_link_down", &DataPathStats::rx_drop_link_down},
    {"rx_drop_no_queue", &DataPathStats::rx_drop_no_queue},
    {"rx_drop_held", &DataPathStats::rx_drop_held},
    {"rx_drop_size", &DataPathStats::rx_drop_size},
    {"rx_drop_uncut", &DataPathStats::rx_drop_uncut},
    {"rx_drop_memory", &DataPathStats::rx_drop_memory},
    {"rx_ring_faults", &DataPathStats::rx_ring_faults},
    {"interrupts", &DataPathStats::interrupts},
};
static_assert(sizeof(DataPathStats) == sizeof(uint64_t) * std::size(kEntries),
              "every count has a name");

}  // namespace

std::vector<NamedCount> DataPathStats::Named() const {
  std::vector<NamedCount> counts;
  counts.reserve(std::size(kEntries));
  for (const Entry& entry : kEntries) counts.push_back({entry.name, this->*entry.count});
  return counts;
}

}  // namespace devmem
