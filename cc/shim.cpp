/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The only C++ of the project: LLVM has no C interface to run clang in process (shim.h). For LLVM 15 and newer. */
#include <clang/Basic/Diagnostic.h>
#include <clang/Basic/DiagnosticOptions.h>
#include <clang/Basic/FileManager.h>
#include <clang/Basic/SourceManager.h>
#include <clang/Basic/Version.h>
#include <clang/CodeGen/CodeGenAction.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/CompilerInvocation.h>
#include <clang/Frontend/TextDiagnosticPrinter.h>
#include <clang/Frontend/Utils.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/VirtualFileSystem.h>
#include "build/tags.h"
#include "shim.h"

using namespace clang;

extern "C" {
void LLVMInitializeBPFTargetInfo(void);
void LLVMInitializeBPFTarget(void);
void LLVMInitializeBPFTargetMC(void);
void LLVMInitializeBPFAsmPrinter(void);
void LLVMInitializeBPFAsmParser(void);
}

namespace {

/* Hands each diagnostic out twice: as a record, and as the text that clang would print. */
class Reporter : public DiagnosticConsumer {
	const cc_job &job;
	TextDiagnosticPrinter printer;
	SourceManager *sources = nullptr;

    public:
	Reporter(const cc_job &j, llvm::raw_ostream &out, DiagnosticOptions &options)
		: job(j),
#if CLANG_VERSION_MAJOR >= 21
		  printer(out, options)
#else
		  printer(out, &options)
#endif
	{
	}

	void BeginSourceFile(const LangOptions &lang, const Preprocessor *pp) override
	{
		printer.BeginSourceFile(lang, pp);
	}

	void EndSourceFile() override { printer.EndSourceFile(); }

	void HandleDiagnostic(DiagnosticsEngine::Level level, const Diagnostic &info) override
	{
		DiagnosticConsumer::HandleDiagnostic(level, info);
		printer.HandleDiagnostic(level, info);
		put_record(level, info);
	}

    private:
	void put_record(DiagnosticsEngine::Level level, const Diagnostic &info)
	{
		uint32_t head[3] = { (uint32_t)level, 0, 0 };
		llvm::SmallString<256> message;
		std::string record, file;

		info.FormatDiagnostic(message);
		if (info.getLocation().isValid() && info.hasSourceManager()) {
			PresumedLoc at = info.getSourceManager().getPresumedLoc(info.getLocation());

			if (at.isValid()) {
				file = at.getFilename();
				head[1] = at.getLine();
				head[2] = at.getColumn();
			}
		}
		record.assign((const char *)head, sizeof(head));
		record += file;
		record += '\0';
		record += message.str();
		job.put(job.ctx, CC_DIAGNOSTIC, record.data(), record.size());
	}
};

/* Every file that was read, system headers too. */
class Inputs : public DependencyCollector {
    public:
	bool needSystemDependencies() override { return true; }
};

#if CLANG_VERSION_MAJOR >= 19
/*
 * BTF is made from the types and lines in the debug information, DWARF is thrown away afterwards: leaving it out, and with it
 * the tracking of where each local variable lives, halves the work behind the front end. Instructions and BTF stay the same.
 */
class LeaveOutDwarf : public llvm::PassInfoMixin<LeaveOutDwarf> {
    public:
	llvm::PreservedAnalyses run(llvm::Module &module, llvm::ModuleAnalysisManager &)
	{
		for (llvm::Function &function : module)
			for (llvm::BasicBlock &block : function)
				for (llvm::Instruction &instruction : llvm::make_early_inc_range(block)) {
					instruction.dropDbgRecords();
					if (llvm::isa<llvm::DbgVariableIntrinsic>(instruction))
						instruction.eraseFromParent();
				}
		leave_out_version(module);
		return llvm::PreservedAnalyses::all();
	}

    private:
	/* LLVM writes no DWARF for a module of the other format that has no DWARF version, and CodeView for Windows only. */
	void leave_out_version(llvm::Module &module)
	{
		llvm::NamedMDNode *flags = module.getModuleFlagsMetadata();
		llvm::SmallVector<llvm::MDNode *, 8> kept;

		if (!flags)
			return;
		for (llvm::MDNode *flag : flags->operands()) {
			auto *name = llvm::dyn_cast<llvm::MDString>(flag->getOperand(1));

			if (!name || name->getString() != "Dwarf Version")
				kept.push_back(flag);
		}
		flags->clearOperands();
		for (llvm::MDNode *flag : kept)
			flags->addOperand(flag);
		module.addModuleFlag(llvm::Module::Warning, "CodeView", 1);
	}
};

void leave_out_dwarf(CompilerInstance &compiler)
{
	compiler.getCodeGenOpts().PassBuilderCallbacks.push_back([](llvm::PassBuilder &builder) {
		builder.registerPipelineStartEPCallback(
			[](llvm::ModulePassManager &passes, auto) { passes.addPass(LeaveOutDwarf()); });
	});
}
#else
void leave_out_dwarf(CompilerInstance &) {}
#endif

using FileSystem = llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem>;

FileSystem make_files(const cc_job &job)
{
	llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem> real(llvm::vfs::getRealFileSystem());
	llvm::IntrusiveRefCntPtr<llvm::vfs::OverlayFileSystem> all(new llvm::vfs::OverlayFileSystem(real));
	llvm::IntrusiveRefCntPtr<llvm::vfs::InMemoryFileSystem> given(new llvm::vfs::InMemoryFileSystem());

	if (auto cwd = real->getCurrentWorkingDirectory())
		given->setCurrentWorkingDirectory(*cwd);
	for (size_t i = 0; i < job.file_count; i++) {
		llvm::StringRef text(job.files[i].text, job.files[i].size);

		given->addFile(job.files[i].name, 0, llvm::MemoryBuffer::getMemBuffer(text, job.files[i].name));
	}
	all->pushOverlay(given);
	return all;
}

void initialize_once()
{
	static bool done;

	if (done)
		return;
	LLVMInitializeBPFTargetInfo();
	LLVMInitializeBPFTarget();
	LLVMInitializeBPFTargetMC();
	LLVMInitializeBPFAsmPrinter();
	LLVMInitializeBPFAsmParser();
	done = true;
}

/* The differences between LLVM releases in how a compiler comes to its invocation, file system and diagnostics. */
void set_up(CompilerInstance &compiler, FileSystem files, DiagnosticConsumer *reporter)
{
#if CLANG_VERSION_MAJOR >= 22
	compiler.setVirtualFileSystem(files);
	compiler.createDiagnostics(reporter, false);
	compiler.createFileManager();
#elif CLANG_VERSION_MAJOR >= 20
	compiler.createDiagnostics(*files, reporter, false);
	compiler.createFileManager(files);
#else
	compiler.createDiagnostics(reporter, false);
	compiler.createFileManager(files);
#endif
}

} // namespace

extern "C" const char *cc_version(void)
{
	return CLANG_VERSION_STRING;
}

extern "C" bool cc_compile(const cc_job *job)
{
	std::string text;
	llvm::raw_string_ostream text_stream(text);
	llvm::SmallString<0> object;
	auto invocation = std::make_shared<CompilerInvocation>();
	bool ok;

	initialize_once();
#if CLANG_VERSION_MAJOR >= 21
	DiagnosticOptions early_options;
	Reporter early(*job, text_stream, early_options);
	DiagnosticsEngine early_engine(llvm::makeIntrusiveRefCnt<DiagnosticIDs>(), early_options, &early, false);
#else
	llvm::IntrusiveRefCntPtr<DiagnosticOptions> early_options(new DiagnosticOptions());
	Reporter early(*job, text_stream, *early_options);
	DiagnosticsEngine early_engine(llvm::IntrusiveRefCntPtr<DiagnosticIDs>(new DiagnosticIDs()), early_options,
				       &early, false);
#endif
	ok = CompilerInvocation::CreateFromArgs(*invocation, llvm::ArrayRef<const char *>(job->args, job->arg_count),
						early_engine);
	if (ok) {
#if CLANG_VERSION_MAJOR >= 21
		CompilerInstance compiler(invocation);
#else
		CompilerInstance compiler;
		compiler.setInvocation(invocation);
#endif
		Reporter reporter(*job, text_stream, compiler.getDiagnosticOpts());
		auto inputs = std::make_shared<Inputs>();
		EmitObjAction action;

		compiler.setVerboseOutputStream(std::make_unique<llvm::raw_null_ostream>());
		text_stream.enable_colors(compiler.getDiagnosticOpts().ShowColors);
		set_up(compiler, make_files(*job), &reporter);
		leave_out_dwarf(compiler);
		compiler.addDependencyCollector(inputs);
		compiler.setOutputStream(std::make_unique<llvm::raw_svector_ostream>(object));
		ok = compiler.ExecuteAction(action) && !compiler.getDiagnostics().hasErrorOccurred();
		for (const std::string &name : inputs->getDependencies())
			job->put(job->ctx, CC_INPUT, name.data(), name.size());
	}
	text_stream.flush();
	job->put(job->ctx, CC_TEXT, text.data(), text.size());
	if (ok)
		job->put(job->ctx, CC_OBJECT, object.data(), object.size());
	return ok;
}
