// SPDX-License-Identifier: Apache-2.0
//
// Making a TAP and being refused one; and that nothing of it is left when its process dies. Needs
// root and /dev/net/tun.

#include "netmem/nic/tap_device.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "selftests/testing/tap_fixture.h"

namespace devmem {
namespace {

using testing::TapTest;

class TapDeviceTest : public TapTest {
 protected:
  // Refuses with `code`, and says all of `words`.
  static void ExpectRefused(const TapDeviceOptions& options, absl::StatusCode code,
                            std::initializer_list<const char*> words) {
    const auto device = TapDevice::Create(options);
    ASSERT_EQ(device.status().code(), code) << device.status();
    for (const char* word : words) {
      EXPECT_NE(device.status().message().find(word), std::string::npos)
          << "\"" << word << "\" is not in: " << device.status();
    }
  }
  static bool Exists(const char* name) { return ::if_nametoindex(name) != 0; }
};

TEST_F(TapDeviceTest, TheInterfaceLivesAsLongAsTheObject) {
  {
    const auto device = TapDevice::Create({.name = kName, .queue_count = 4, .mtu = 9000});
    ASSERT_TRUE(device.ok()) << device.status();
    EXPECT_TRUE(Exists(kName));
    EXPECT_EQ((*device)->queue_count(), 4u);
    EXPECT_FALSE((*device)->kernel_mac().is_zero());
  }
  EXPECT_FALSE(Exists(kName));
}

TEST_F(TapDeviceTest, TheInterfaceIsUpWithItsMtuAndAddress) {
  const auto device =
      TapDevice::Create({.name = kName, .mtu = 4000, .kernel_address = "192.0.2.1/24"});
  ASSERT_TRUE(device.ok()) << device.status();
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::string(kName).copy(request.ifr_name, IFNAMSIZ - 1);
  ASSERT_EQ(::ioctl(socket.get(), SIOCGIFMTU, &request), 0);
  EXPECT_EQ(request.ifr_mtu, 4000);
  ASSERT_EQ(::ioctl(socket.get(), SIOCGIFFLAGS, &request), 0);
  EXPECT_NE(request.ifr_flags & IFF_UP, 0);
  ASSERT_EQ(::ioctl(socket.get(), SIOCGIFNETMASK, &request), 0);
  sockaddr_in mask;
  std::memcpy(&mask, &request.ifr_netmask, sizeof(mask));
  EXPECT_EQ(ntohl(mask.sin_addr.s_addr), 0xffffff00);
}

TEST_F(TapDeviceTest, BoundsOfMtuAndQueuesAreNamed) {
  using enum absl::StatusCode;
  ExpectRefused({.name = kName, .mtu = 575}, kOutOfRange, {"575", "576", "65521", "bytes"});
  ExpectRefused({.name = kName, .mtu = 65522}, kOutOfRange, {"65522", "65521"});
  ExpectRefused({.name = kName, .queue_count = 0}, kOutOfRange, {"0", "1 to 64"});
  ExpectRefused({.name = kName, .queue_count = 65}, kOutOfRange, {"65", "1 to 64"});
  ExpectRefused({.name = kName, .mtu = 1000, .kernel_address = "2001:db8::1/64"}, kOutOfRange,
                {"1000", "1280"});
  EXPECT_FALSE(Exists(kName));
}

TEST_F(TapDeviceTest, TheLargestMtuAndMostQueuesWork) {
  const auto device = TapDevice::Create({.name = kName, .queue_count = kQueuesMax, .mtu = kMtuMax});
  EXPECT_TRUE(device.ok()) << device.status();
}

TEST_F(TapDeviceTest, ANameThatIsTooLongIsRefused) {
  ExpectRefused({.name = "0123456789abcdef"}, absl::StatusCode::kInvalidArgument,
                {"0123456789abcdef", "16 bytes", "1 to 15"});
}

TEST_F(TapDeviceTest, ANameThatIsTakenIsRefusedAndItsOwnerUndisturbed) {
  const auto owner = TapDevice::Create({.name = kName});
  ASSERT_TRUE(owner.ok());
  ExpectRefused({.name = kName}, absl::StatusCode::kAlreadyExists, {kName, "choose another name"});
  ExpectRefused({.name = "lo"}, absl::StatusCode::kAlreadyExists, {"lo"});
  EXPECT_TRUE(Exists(kName));
}

TEST_F(TapDeviceTest, AMissingTunDeviceIsNamedWithTheRemedy) {
  ExpectRefused({.name = kName, .tun_path = "/dev/net/no-such-tun"}, absl::StatusCode::kNotFound,
                {"/dev/net/no-such-tun", "modprobe tun"});
}

// Runs `child` in a process of its own that gave up root, and returns its exit status.
template <typename Child>
int AsNobody(Child child) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    constexpr uid_t kNobody = 65534;
    if (::setresgid(kNobody, kNobody, kNobody) != 0 ||
        ::setresuid(kNobody, kNobody, kNobody) != 0) {
      ::_exit(100);
    }
    ::_exit(child());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(TapDeviceTest, AnOrdinaryUserIsToldWhatIsMissing) {
  const int status = AsNobody([] {
    const auto device = TapDevice::Create({.name = kName});
    if (device.status().code() != absl::StatusCode::kPermissionDenied) return 1;
    // Either the device may not be opened, or it may and no interface may be made.
    const absl::string_view message = device.status().message();
    const bool says_what = message.find("chmod 0666 /dev/net/tun") != absl::string_view::npos ||
                           message.find("CAP_NET_ADMIN") != absl::string_view::npos;
    return says_what ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(TapDeviceTest, AKilledProcessLeavesNoInterfaceBehind) {
  int made[2];
  ASSERT_EQ(::pipe2(made, O_CLOEXEC), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto device = TapDevice::Create({.name = kName, .queue_count = 2});
    const char ok = device.ok() ? 1 : 0;
    if (::write(made[1], &ok, 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char ok = 0;
  ASSERT_EQ(::read(made[0], &ok, 1), 1);
  EXPECT_EQ(ok, 1);
  EXPECT_TRUE(Exists(kName));
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status));
  // The descriptors close before a process can be waited for, and with them goes the interface.
  EXPECT_FALSE(Exists(kName));
  ::close(made[0]);
  ::close(made[1]);
}

}  // namespace
}  // namespace devmem
