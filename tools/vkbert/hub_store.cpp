#include "tools/vkbert/hub_store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/error.hpp"
#include "runtime/files.hpp"
#include "tools/vkbert/common.hpp"

namespace vkbert::tools {

namespace fs = std::filesystem;

static void make_folder(const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) fail(ErrorCode::failed, "{}: cannot be made: {}", folder.string(), error.message());
}

static void rename_onto(const fs::path& from, const fs::path& to) {
    std::error_code error;
    fs::rename(from, to, error);
    if (error) fail(ErrorCode::failed, "{}: {}", to.string(), error.message());
}

std::string hub_folder_name(const std::string& name) {
    std::string folder = "models--";
    for (const char c : name) folder += c == '/' ? std::string("--") : std::string(1, c);
    return folder;
}

HubStore::HubStore(const fs::path& cache, const std::string& name)
    : cache_(cache), folder_(cache / hub_folder_name(name)), folder_name_(hub_folder_name(name)) {
    make_folder(folder_ / "blobs");
    make_folder(cache_ / ".locks" / folder_name_);
}

bool HubStore::has(const std::string& commit, const std::string& path) const {
    std::error_code error;
    return fs::is_regular_file(snapshot(commit) / path, error);
}

void HubStore::link(const std::string& commit, const std::string& path, const std::string& etag) const {
    const fs::path place = snapshot(commit) / path;
    make_folder(place.parent_path());
    const fs::path target = fs::relative(blob(etag), place.parent_path());
    const fs::path temporary = place.string() + "." + std::to_string(getpid());
    std::error_code error;
    fs::remove(temporary, error);
    fs::create_symlink(target, temporary, error);
    if (error)
        fail(ErrorCode::failed, "{}: no symbolic link can be made: {}", place.string(), error.message());
    rename_onto(temporary, place);
}

void HubStore::keep(const std::string& etag) const {
    rename_onto(partial(etag), blob(etag));
}

void HubStore::set_revision(const std::string& revision, const std::string& commit) const {
    const fs::path place = folder_ / "refs" / revision;
    make_folder(place.parent_path());
    AtomicFile file(place);
    file.write(commit);
    file.commit();
}

void HubStore::require_space(uint64_t bytes) const {
    std::error_code error;
    const fs::space_info space = fs::space(folder_, error);
    if (!error && space.available < bytes)
        fail(ErrorCode::failed,
             "{}: {} are needed and {} are free; make room, or set HF_HOME to another disk", folder_.string(),
             human_bytes(static_cast<double>(bytes)), human_bytes(static_cast<double>(space.available)));
}

BlobLock::BlobLock(const HubStore& store, const std::string& etag, const std::function<void()>& waiting) {
    const fs::path path = store.cache_ / ".locks" / store.folder_name_ / (etag + ".lock");
    descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail(ErrorCode::failed, "{}: {}", path.string(), std::strerror(errno));
    if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
    waiting();
    while (flock(descriptor_, LOCK_EX) != 0)
        if (errno != EINTR) {
            const int reason = errno;
            close(descriptor_);
            fail(ErrorCode::failed, "{}: cannot be locked: {}", path.string(), std::strerror(reason));
        }
}

BlobLock::~BlobLock() {
    close(descriptor_);
}

}  // namespace vkbert::tools
