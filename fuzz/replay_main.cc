// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: each file of the corpus folders (or files) given, then some
// hundred simple mutations of each (not with --corpus-only first, for measuring what the corpus
// reaches). The same corpus always gives the same inputs. An input that ends the process is left as
// fuzz-crash-NAME beside the program.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::string;

constexpr int kMutations = 300;  // of each file
constexpr std::size_t kMaxInput = std::size_t{64} * 1024;
constexpr auto kTimeLimit = std::chrono::seconds(20);

std::string crash_file;  // where the current input goes if the process dies
const std::uint8_t* current = nullptr;
std::size_t current_size = 0;

void on_crash(int signal) {
  const int fd = ::open(crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0) {
    [[maybe_unused]] const ssize_t n = ::write(fd, current, current_size);
    ::close(fd);
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const Input& input) {
  // A block of exactly this size, so that sanitizers see a read past its end.
  const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[input.size()]);
  std::copy(input.begin(), input.end(), bytes.get());
  current = bytes.get();
  current_size = input.size();
  LLVMFuzzerTestOneInput(bytes.get(), input.size());
}

class Mutator {
 public:
  explicit Mutator(const Input& seed) {
    for (const char c : seed) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  }

  Input mutate(Input input, const std::vector<Input>& corpus) {
    for (std::size_t steps = 1 + below(4); steps > 0; --steps) step(input, corpus);
    if (input.size() > kMaxInput) input.resize(kMaxInput);
    return input;
  }

 private:
  std::uint64_t next() {  // splitmix64
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : next() % bound; }
  char interesting() {
    static constexpr unsigned char kBytes[] = {0,    1,   0x7F, 0x80, 0xFF, 0xC0, 0x3F, 0x40, '\r',
                                               '\n', ' ', ',',  ':',  ';',  '=',  '"',  '0',  '9'};
    return static_cast<char>(kBytes[below(sizeof kBytes)]);
  }

  void step(Input& input, const std::vector<Input>& corpus) {
    const std::size_t at = below(input.size());
    const std::size_t length = 1 + below(std::min<std::size_t>(input.size() - at, 32));
    switch (below(8)) {
      case 0:
        if (!input.empty()) input[at] = static_cast<char>(input[at] ^ 1 << below(8));
        break;
      case 1:
        if (!input.empty()) input[at] = interesting();
        break;
      case 2: input.insert(at, 1 + below(4), interesting()); break;
      case 3:
        if (!input.empty()) input.erase(at, length);
        break;
      case 4: input.insert(at, Input(input.substr(at, length))); break;
      case 5: input.resize(at); break;
      case 6: {  // the front of this, the back of another
        const Input& other = corpus[below(corpus.size())];
        input = input.substr(0, at) + other.substr(below(other.size()));
        break;
      }
      default:
        if (!input.empty()) input[at] = static_cast<char>(next());
    }
  }

  std::uint64_t state_ = 0xCBF29CE484222325ULL;
};

Input read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<Input> read_corpus(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    if (std::filesystem::is_regular_file(argv[i])) {
      files.emplace_back(argv[i]);
      continue;
    }
    std::error_code missing;  // a folder may be absent: an empty corpus
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i], missing)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<Input> corpus = {Input()};
  for (const auto& file : files) corpus.push_back(read_file(file));
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path program(argv[0]);
  crash_file = (program.parent_path() / ("fuzz-crash-" + program.filename().string())).string();
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, on_crash);
  const bool corpus_only = argc > 1 && std::string_view(argv[1]) == "--corpus-only";
  const std::vector<Input> corpus =
      corpus_only ? read_corpus(argc - 1, argv + 1) : read_corpus(argc, argv);
  for (const Input& input : corpus) run(input);
  if (corpus_only) return 0;

  std::vector<Mutator> mutators(corpus.begin(), corpus.end());
  std::size_t mutated = 0;
  const auto end = std::chrono::steady_clock::now() + kTimeLimit;
  // Round by round, so that a slow target has tried something of each file when time is up.
  for (int round = 0; round < kMutations && std::chrono::steady_clock::now() < end; ++round) {
    for (std::size_t i = 0; i < corpus.size(); ++i) {
      run(mutators[i].mutate(corpus[i], corpus));
      ++mutated;
    }
  }
  std::printf("ran %zu inputs and %zu mutations of them\n", corpus.size() - 1, mutated);
  return 0;
}
