# VKBERT_SANITIZE=address,undefined (or thread) instruments everything that is built here.
if(VKBERT_SANITIZE)
  add_compile_options(-fsanitize=${VKBERT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${VKBERT_SANITIZE})
endif()
