/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Debian builds LLVM with the Polly extension but packs its archive elsewhere. BPF has no use for it. */
#if __has_include(<llvm/Plugins/PassPlugin.h>)
#include <llvm/Plugins/PassPlugin.h>
#else
#include <llvm/Passes/PassPlugin.h>
#endif

llvm::PassPluginLibraryInfo getPollyPluginInfo();
llvm::PassPluginLibraryInfo getPollyPluginInfo()
{
	return { LLVM_PLUGIN_API_VERSION, "none", "0", [](llvm::PassBuilder &) {} };
}
