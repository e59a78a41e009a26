# SPDX-License-Identifier: Apache-2.0
#
# `cmake --install`: the library, the headers that a user of uapi/devmem.h reaches, and package
# files for find_package(devmem) and pkg-config. Included last by the top-level CMakeLists.txt.
#
# Installed headers keep their path: <prefix>/include/devmem/uapi/devmem.h. Users write
# `#include <devmem/uapi/devmem.h>`; the package files also add <prefix>/include/devmem, where the
# headers' own root-relative includes resolve.

include(CMakePackageConfigHelpers)

# Sets <result> to every header that <start> reaches through quoted includes inside the project. The
# list follows the headers by itself: editing one of them runs CMake again.
function(devmem_reachable_headers result start)
  set(waiting ${start})
  set(seen)
  while(waiting)
    list(POP_FRONT waiting header)
    if(header IN_LIST seen OR NOT EXISTS ${PROJECT_SOURCE_DIR}/${header})
      continue()
    endif()
    list(APPEND seen ${header})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${header})
    file(STRINGS ${PROJECT_SOURCE_DIR}/${header} lines REGEX "^#include \"")
    foreach(line IN LISTS lines)
      string(REGEX REPLACE "^#include \"([^\"]+)\".*" "\\1" included "${line}")
      list(APPEND waiting ${included})
    endforeach()
  endwhile()
  set(${result} ${seen} PARENT_SCOPE)
endfunction()

# Sets <own> to the project's libraries that <start> links, each before those that it needs, and
# <foreign> to the packages' targets among them.
function(devmem_linked_libraries own foreign start)
  set(waiting ${start})
  set(found)
  set(others)
  while(waiting)
    list(POP_FRONT waiting library)
    string(REGEX REPLACE "^\\$<LINK_ONLY:(.+)>$" "\\1" library "${library}")
    if(NOT TARGET ${library})
      message(FATAL_ERROR "${library}, which devmem links, is no target; link a package's target")
    endif()
    get_target_property(aliased ${library} ALIASED_TARGET)
    if(aliased)
      set(library ${aliased})
    endif()
    get_target_property(imported ${library} IMPORTED)
    if(imported)
      list(APPEND others ${library})
      continue()
    endif()
    # A library that is met again moves behind the one that needs it.
    list(REMOVE_ITEM found ${library})
    list(APPEND found ${library})
    get_target_property(needed ${library} INTERFACE_LINK_LIBRARIES)
    if(needed)
      list(APPEND waiting ${needed})
    endif()
  endwhile()
  list(REMOVE_DUPLICATES others)
  set(${own} ${found} PARENT_SCOPE)
  set(${foreign} ${others} PARENT_SCOPE)
endfunction()

# Turns the packages' targets into what devmem.pc requires and what devmemConfig.cmake must find.
function(devmem_describe_packages foreign)
  set(requires)
  set(finds)
  set(flags)
  foreach(library IN LISTS foreign)
    if(library MATCHES "^absl::(.+)$")
      list(APPEND requires absl_${CMAKE_MATCH_1})
      list(APPEND finds "find_dependency(absl)")
    elseif(library STREQUAL "Threads::Threads")
      list(APPEND flags -pthread)
      list(APPEND finds "find_dependency(Threads)")
    elseif(library MATCHES "^PkgConfig::(.+)$")
      set(prefix ${CMAKE_MATCH_1})
      list(APPEND requires ${${prefix}_MODULE_NAME})
      list(APPEND finds "find_dependency(PkgConfig)"
           "pkg_check_modules(${prefix} REQUIRED IMPORTED_TARGET ${${prefix}_MODULE_NAME})")
    elseif(library STREQUAL "OpenSSL::Crypto")
      list(APPEND requires libcrypto)
      list(APPEND finds "find_dependency(OpenSSL)")
    else()
      message(FATAL_ERROR "say in cmake/DevmemInstall.cmake how a user of devmem finds ${library}")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES finds)
  list(JOIN requires " " requires)
  list(JOIN finds "\n" finds)
  list(JOIN flags " " flags)
  set(DEVMEM_PC_REQUIRES "${requires}" PARENT_SCOPE)
  set(DEVMEM_PC_FLAGS "${flags}" PARENT_SCOPE)
  set(DEVMEM_CONFIG_FINDS "${finds}" PARENT_SCOPE)
endfunction()

devmem_reachable_headers(public_headers uapi/devmem.h)
devmem_linked_libraries(own_libraries foreign_libraries devmem)
devmem_describe_packages("${foreign_libraries}")
set(archives)
foreach(library IN LISTS own_libraries)
  # A library of headers alone has no archive that a linker could be given.
  get_target_property(type ${library} TYPE)
  if(NOT type STREQUAL "INTERFACE_LIBRARY")
    list(APPEND archives ${library})
  endif()
endforeach()
list(TRANSFORM archives PREPEND -l OUTPUT_VARIABLE DEVMEM_PC_LIBS)
list(JOIN DEVMEM_PC_LIBS " " DEVMEM_PC_LIBS)
file(RELATIVE_PATH DEVMEM_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" DEVMEM_PC_PREFIX "${DEVMEM_PC_PREFIX}")

foreach(header IN LISTS public_headers)
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/devmem/${folder})
endforeach()
install(TARGETS ${own_libraries} EXPORT devmemTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} ${CMAKE_INSTALL_INCLUDEDIR}/devmem)
install(EXPORT devmemTargets NAMESPACE devmem:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/devmem)

configure_package_config_file(cmake/devmemConfig.cmake.in ${CMAKE_BINARY_DIR}/devmemConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/devmem
                              NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/devmemConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/devmemConfig.cmake ${CMAKE_BINARY_DIR}/devmemConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/devmem)

configure_file(cmake/devmem.pc.in ${CMAKE_BINARY_DIR}/devmem.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/devmem.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
