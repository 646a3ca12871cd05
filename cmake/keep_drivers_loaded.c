// Linked into programs with the address sanitizer: Mesa's lavapipe keeps a small table in static variables, and frees it
// only with the process. Unloaded, the driver would leave it behind as a leak of an "<unknown module>" that no
// suppression can name; loaded, it stays reachable.
__attribute__((visibility("default"))) int dlclose(void* library);
int dlclose(void* library) {
    (void)library;
    return 0;
}
