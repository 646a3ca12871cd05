// The Hugging Face cache on disk, as Hugging Face's own tools lay it out:
//   models--ORG--NAME/blobs/ETAG            the content
//   models--ORG--NAME/snapshots/COMMIT/PATH -> ../../blobs/ETAG (relative)
//   models--ORG--NAME/refs/REVISION         holds the commit
//   .locks/models--ORG--NAME/ETAG.lock      flock()ed while a blob is fetched
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace vkbert::tools {

/// "ORG/NAME" -> "models--ORG--NAME".
std::string hub_folder_name(const std::string& name);

/// One model's part of the cache. Errors (failed): whatever the file system says, with the path.
class HubStore {
  public:
    HubStore(const std::filesystem::path& cache, const std::string& name);

    std::filesystem::path blob(const std::string& etag) const { return folder_ / "blobs" / etag; }
    std::filesystem::path partial(const std::string& etag) const {
        return folder_ / "blobs" / (etag + ".incomplete");
    }
    std::filesystem::path snapshot(const std::string& commit) const { return folder_ / "snapshots" / commit; }

    /// True when the snapshot already has this file.
    bool has(const std::string& commit, const std::string& path) const;
    /// Makes the snapshot's link to a blob that is there.
    void link(const std::string& commit, const std::string& path, const std::string& etag) const;
    /// Gives the partial file its final name.
    void keep(const std::string& etag) const;
    /// Records which commit a revision is. Last, so that a model is found by name only when all of it is
    /// there.
    void set_revision(const std::string& revision, const std::string& commit) const;
    /// Throws failed unless this many more bytes fit on the disk.
    void require_space(uint64_t bytes) const;

  private:
    friend class BlobLock;
    std::filesystem::path cache_, folder_;
    std::string folder_name_;
};

/// Holds a blob's lock, as Hugging Face's tools take it; waits for another download of the same blob.
class BlobLock {
  public:
    BlobLock(const HubStore& store, const std::string& etag, const std::function<void()>& waiting);
    ~BlobLock();
    BlobLock(const BlobLock&) = delete;
    BlobLock& operator=(const BlobLock&) = delete;

  private:
    int descriptor_ = -1;
};

}  // namespace vkbert::tools
