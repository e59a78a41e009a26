// SPDX-License-Identifier: Apache-2.0
// Stands in for libFuzzer in ordinary builds: feeds a fuzz target every file of its corpus, and
// every prefix of each short file, because a cut-off packet is the commonest lie. devmem_fuzzer()
// links it into each target; ctest runs it with the corpus folder as the only argument.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// Longer files are replayed whole only, so that one large input does not cost a quadratic time.
constexpr size_t kPrefixBytesMax = 512;

std::vector<uint8_t> ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(file), {});
}

// Each input is copied to a buffer of exactly its size, so that asan sees a read past its end.
void Feed(const std::vector<uint8_t>& bytes, size_t length_bytes) {
  const std::vector<uint8_t> input(bytes.begin(),
                                   bytes.begin() + static_cast<ptrdiff_t>(length_bytes));
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

void Replay(const std::vector<uint8_t>& bytes) {
  Feed(bytes, bytes.size());
  if (bytes.size() > kPrefixBytesMax) return;
  for (size_t length_bytes = 0; length_bytes < bytes.size(); ++length_bytes) {
    Feed(bytes, length_bytes);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || !std::filesystem::is_directory(argv[1])) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[1])) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  if (files.empty()) {
    std::fprintf(stderr, "%s: the corpus %s is empty\n", argv[0], argv[1]);
    return 1;
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::printf("%s\n", file.c_str());
    std::fflush(stdout);
    Replay(ReadFile(file));
  }
  std::printf("%zu inputs replayed\n", files.size());
  return 0;
}
