#include "tools/vkbert/curl_library.hpp"

#include <dlfcn.h>

#include "runtime/error.hpp"

namespace vkbert::tools {

template <typename Function>
static void find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (!function)
        fail(ErrorCode::failed, "the libcurl on this machine has no {}: install a newer one", name);
}

static CurlLibrary load() {
    void* library = nullptr;
    for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib", "libcurl.dylib"})
        if (!library) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail(ErrorCode::failed, "pull needs libcurl, which is not on this machine: install libcurl4");
    CurlLibrary curl{};
    find(library, "curl_global_init", curl.global_init);
    find(library, "curl_easy_init", curl.easy_init);
    find(library, "curl_easy_cleanup", curl.easy_cleanup);
    find(library, "curl_easy_reset", curl.easy_reset);
    find(library, "curl_easy_setopt", curl.easy_setopt);
    find(library, "curl_easy_getinfo", curl.easy_getinfo);
    find(library, "curl_easy_perform", curl.easy_perform);
    find(library, "curl_easy_strerror", curl.easy_strerror);
    find(library, "curl_slist_append", curl.slist_append);
    find(library, "curl_slist_free_all", curl.slist_free_all);
    find(library, "curl_url", curl.url);
    find(library, "curl_url_cleanup", curl.url_cleanup);
    find(library, "curl_url_set", curl.url_set);
    find(library, "curl_url_get", curl.url_get);
    find(library, "curl_free", curl.free);
    if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) fail(ErrorCode::failed, "libcurl does not start");
    return curl;
}

const CurlLibrary& curl_library() {
    static const CurlLibrary curl = load();
    return curl;
}

}  // namespace vkbert::tools
