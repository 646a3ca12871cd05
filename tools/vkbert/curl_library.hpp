// libcurl, opened when it is first needed: linking it would cost every other command the loading of some
// thirty shared libraries at its start.
#pragma once

#include <curl/curl.h>

// curl's type-checking macros would stand in the way of members with the functions' names.
#undef curl_easy_setopt
#undef curl_easy_getinfo

namespace vkbert::tools {

struct CurlLibrary {
    decltype(&::curl_global_init) global_init;
    decltype(&::curl_easy_init) easy_init;
    decltype(&::curl_easy_cleanup) easy_cleanup;
    decltype(&::curl_easy_reset) easy_reset;
    decltype(&::curl_easy_setopt) easy_setopt;
    decltype(&::curl_easy_getinfo) easy_getinfo;
    decltype(&::curl_easy_perform) easy_perform;
    decltype(&::curl_easy_strerror) easy_strerror;
    decltype(&::curl_slist_append) slist_append;
    decltype(&::curl_slist_free_all) slist_free_all;
    decltype(&::curl_url) url;
    decltype(&::curl_url_cleanup) url_cleanup;
    decltype(&::curl_url_set) url_set;
    decltype(&::curl_url_get) url_get;
    decltype(&::curl_free) free;
};

/// Errors (failed): there is no libcurl on this machine.
const CurlLibrary& curl_library();

}  // namespace vkbert::tools
