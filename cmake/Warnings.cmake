# vkbert_warnings(TARGET): the warnings every target of the repository compiles with.
function(vkbert_warnings target)
  if(MSVC)
    target_compile_options(${target} PRIVATE /W4 $<$<BOOL:${VKBERT_WERROR}>:/WX>)
  else()
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow $<$<BOOL:${VKBERT_WERROR}>:-Werror>)
  endif()
endfunction()
