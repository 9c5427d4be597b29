{
  # CMakeLists.txt is the build. This target only lets gyp-based tools (node-gyp rebuild, electron-rebuild) start it.
  'targets': [{
    'target_name': 'noisewright',
    'type': 'none',
    'actions': [{
      'action_name': 'cmake_js',
      'inputs': ['CMakeLists.txt'],
      'outputs': ['<(PRODUCT_DIR)/always-run-cmake'],
      'action': ['node', '<!(node -p "require.resolve(\'cmake-js/bin/cmake-js\')")', 'compile',
                 '--config', '<(CONFIGURATION_NAME)',
                 '--out', '<(module_root_dir)/build/cmake',
                 '--CDCMAKE_LIBRARY_OUTPUT_DIRECTORY=<(module_root_dir)/build/<(CONFIGURATION_NAME)'],
    }],
  }],
}
