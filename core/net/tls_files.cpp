#include "core/net/tls_files.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/net/tls_ptr.h"

namespace sluice {

namespace {

constexpr off_t kLargest = 4 * 1024 * 1024;  // a bundle of all public authorities has a twentieth of it

std::string system_text(const char* what, int error) { return std::string(what) + ": " + std::strerror(error); }

std::string read_all(int fd, TlsFile& file) {
    struct stat status;
    if (::fstat(fd, &status) != 0) return system_text("cannot read it", errno);
    if (!S_ISREG(status.st_mode)) return "it is not a regular file";  // reading another kind might wait
    if (status.st_size > kLargest) return "it is larger than 4 MiB";
    file.readable_by_others = (status.st_mode & S_IROTH) != 0;
    file.bytes.resize(static_cast<std::size_t>(status.st_size));
    std::size_t filled = 0;
    while (filled < file.bytes.size()) {
        const ssize_t count = ::read(fd, file.bytes.data() + filled, file.bytes.size() - filled);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_text("cannot read it", errno);
        if (count == 0) break;  // it became shorter meanwhile
        filled += static_cast<std::size_t>(count);
    }
    file.bytes.resize(filled);
    return file.bytes.empty() ? "it is empty" : "";
}

TlsFile read_file(const std::string& path) {
    TlsFile file;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        file.problem = system_text("cannot open it", errno);
        return file;
    }
    file.problem = read_all(fd, file);
    ::close(fd);
    return file;
}

}  // namespace

TlsFileSet::~TlsFileSet() {
    for (auto& [path, file] : files_) OPENSSL_cleanse(file.bytes.data(), file.bytes.size());
}

const TlsFile& TlsFileSet::read(const std::string& path) {
    const auto known = files_.find(path);
    return known != files_.end() ? known->second : files_.emplace(path, read_file(path)).first->second;
}

std::string TlsFileSet::digest() const {
    const TlsPtr<evp_md_ctx_st> hash(EVP_MD_CTX_new());
    EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
    for (const auto& [path, file] : files_) {
        const std::uint64_t size = file.bytes.size();  // or bytes could move from one file to the next unseen
        EVP_DigestUpdate(hash.get(), &size, sizeof size);
        EVP_DigestUpdate(hash.get(), file.bytes.data(), file.bytes.size());
    }
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned count = 0;
    EVP_DigestFinal_ex(hash.get(), digest.data(), &count);
    return to_hex(digest.data(), count);
}

std::string to_hex(const unsigned char* bytes, std::size_t count) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
        text += kDigits[bytes[i] >> 4];
        text += kDigits[bytes[i] & 15];
    }
    return text;
}

}  // namespace sluice
