// The object library of embedded shaders needs one source of its own; the rest are made by
// cmake/CompileShaders.cmake.
