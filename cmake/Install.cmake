# cmake --install: libraries, headers and the package files for find_package(vkbert).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set_target_properties(vkbert_runtime PROPERTIES EXPORT_NAME runtime)
set_target_properties(vkbert_inference PROPERTIES EXPORT_NAME inference)
set_target_properties(vkbert_training PROPERTIES EXPORT_NAME training)
install(TARGETS vkbert_runtime vkbert_inference vkbert_training EXPORT vkbertTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY runtime bert DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vkbert FILES_MATCHING PATTERN "*.hpp")
install(FILES shaders/glsl_types.h shaders/training_scalars.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vkbert/shaders)
set(VKBERT_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/vkbert)
install(EXPORT vkbertTargets NAMESPACE vkbert:: DESTINATION ${VKBERT_PACKAGE_DIR})
configure_package_config_file(cmake/vkbertConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/vkbertConfig.cmake
  INSTALL_DESTINATION ${VKBERT_PACKAGE_DIR})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/vkbertConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/vkbertConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/vkbertConfigVersion.cmake
  DESTINATION ${VKBERT_PACKAGE_DIR})
