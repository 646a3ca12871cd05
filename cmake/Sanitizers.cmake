# VKBERT_SANITIZE=address,undefined (or thread) instruments everything that is built here.
if(VKBERT_SANITIZE)
  add_compile_options(-fsanitize=${VKBERT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${VKBERT_SANITIZE})
endif()

# vkbert_keep_drivers_loaded(TARGET): for programs that use Vulkan; does something with the address sanitizer only.
function(vkbert_keep_drivers_loaded target)
  if(VKBERT_SANITIZE MATCHES address AND NOT MSVC)
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/keep_drivers_loaded.c)
    target_link_options(${target} PRIVATE LINKER:--export-dynamic-symbol=dlclose)
  endif()
endfunction()
