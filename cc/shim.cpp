/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The only C++ of the project: LLVM has no C interface to run clang in process (shim.h). For LLVM 15 and newer. */
#include <clang/Basic/Diagnostic.h>
#include <clang/Basic/DiagnosticOptions.h>
#include <clang/Basic/FileManager.h>
#include <clang/Basic/SourceManager.h>
#include <clang/Basic/Stack.h>
#include <clang/Basic/Version.h>
#include <clang/CodeGen/CodeGenAction.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/CompilerInvocation.h>
#include <clang/Frontend/TextDiagnosticPrinter.h>
#include <clang/Frontend/Utils.h>
#include <clang/Lex/PPCallbacks.h>
#include <clang/Lex/Preprocessor.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Path.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/VirtualFileSystem.h>
#include <new>
#include <unistd.h>
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
	const cc_job *job = nullptr; /* nobody listens before there is one */
	TextDiagnosticPrinter printer;
	unsigned lesser = 0; /* warnings and notes so far */

    public:
	Reporter(llvm::raw_ostream &out, DiagnosticOptions &options)
#if CLANG_VERSION_MAJOR >= 21
		: printer(out, options)
#else
		: printer(out, &options)
#endif
	{
	}

	void listen(const cc_job &j) { job = &j; }
	bool has_reported() const { return getNumErrors() || getNumWarnings(); }

	void BeginSourceFile(const LangOptions &lang, const Preprocessor *pp) override
	{
		printer.BeginSourceFile(lang, pp);
	}

	void EndSourceFile() override { printer.EndSourceFile(); }

	/* What nobody will read is not kept: a source can have as many warnings as it has lines. */
	void HandleDiagnostic(DiagnosticsEngine::Level level, const Diagnostic &info) override
	{
		DiagnosticConsumer::HandleDiagnostic(level, info);
		if (!job)
			return;
		if (level < DiagnosticsEngine::Error && ++lesser > 1000)
			return;
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
		job->put(job->ctx, CC_DIAGNOSTIC, record.data(), record.size());
	}
};

/*
 * Every file that was read, system headers too. With a collector's own listener clang says nothing when an #embed finds no file.
 */
class Inputs : public DependencyCollector {
	class Listener : public PPCallbacks {
		Inputs &inputs;
		SourceManager &sources;

		void add(OptionalFileEntryRef file)
		{
			if (file)
				inputs.maybeAddDependency(file->getName(), false, false, false, false);
		}

	    public:
		Listener(Inputs &i, SourceManager &s) : inputs(i), sources(s) {}

		void LexedFileChanged(FileID file, LexedFileChangeReason reason, SrcMgr::CharacteristicKind, FileID,
				      SourceLocation) override
		{
			if (reason == LexedFileChangeReason::EnterFile)
				add(sources.getFileEntryRefForID(file));
		}
#if CLANG_VERSION_MAJOR >= 19
		void EmbedDirective(SourceLocation, StringRef, bool, OptionalFileEntryRef file,
				    const LexEmbedParametersResult &) override
		{
			add(file);
		}
#endif
	};

    public:
	bool needSystemDependencies() override { return true; }

	void attachToPreprocessor(Preprocessor &pp) override
	{
		pp.addPPCallbacks(std::make_unique<Listener>(*this, pp.getSourceManager()));
	}
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

using Files = llvm::IntrusiveRefCntPtr<llvm::vfs::FileSystem>;

/* Files of a few directories; all others are not even there. The kernel sees to it too (confine.c), but might tell them apart. */
class OnlyDirs : public llvm::vfs::ProxyFileSystem {
	const char *const *dirs;

	bool is_hidden(const llvm::Twine &path) const
	{
		llvm::SmallString<256> clean;

		path.toVector(clean);
		if (makeAbsolute(clean))
			return true;
		llvm::sys::path::remove_dots(clean, true);
		for (const char *const *dir = dirs; *dir; dir++) {
			llvm::StringRef rest(clean);

			if (rest.consume_front(*dir) && (rest.empty() || rest[0] == '/'))
				return false;
		}
		return true;
	}

    public:
	OnlyDirs(Files files, const char *const *d) : ProxyFileSystem(files), dirs(d) {}

	llvm::ErrorOr<llvm::vfs::Status> status(const llvm::Twine &path) override
	{
		return is_hidden(path) ? make_error_code(llvm::errc::no_such_file_or_directory) : ProxyFileSystem::status(path);
	}

	llvm::ErrorOr<std::unique_ptr<llvm::vfs::File>> openFileForRead(const llvm::Twine &path) override
	{
		if (is_hidden(path))
			return make_error_code(llvm::errc::no_such_file_or_directory);
		return ProxyFileSystem::openFileForRead(path);
	}

	llvm::vfs::directory_iterator dir_begin(const llvm::Twine &path, std::error_code &error) override
	{
		if (!is_hidden(path))
			return ProxyFileSystem::dir_begin(path, error);
		error = make_error_code(llvm::errc::no_such_file_or_directory);
		return {};
	}

#if CLANG_VERSION_MAJOR >= 20
	bool exists(const llvm::Twine &path) override { return !is_hidden(path) && ProxyFileSystem::exists(path); }
#endif
};

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
	std::set_new_handler([] { _exit(CC_EXIT_MEMORY); });
	llvm::install_bad_alloc_error_handler([](void *, const char *, bool) { _exit(CC_EXIT_MEMORY); });
	done = true;
}

/* What a source's own arguments say; all others can be known before there is a source. */
struct OwnArguments {
	llvm::StringRef name, path;
	llvm::SmallVector<std::pair<std::string, std::string>, 8> path_rules;

	/* False if there is an argument of another kind. */
	bool parse(llvm::ArrayRef<const char *> args)
	{
		for (size_t i = 0; i < args.size(); i++) {
			llvm::StringRef arg(args[i]);
			bool is_last = i + 1 == args.size();

			if (arg == "-main-file-name" && !is_last) {
				name = args[++i];
			} else if (arg.consume_front("-fdebug-prefix-map=")) {
				std::pair<llvm::StringRef, llvm::StringRef> rule = arg.split('=');

				path_rules.emplace_back(rule.first.str(), rule.second.str());
			} else if (is_last && !arg.empty() && arg[0] != '-') {
				path = arg;
			} else {
				return false;
			}
		}
		return !path.empty();
	}
};

/* For a preprocessor and an AST that are there already: clang's name for such is the only one that it has. */
class EmitAheadAction : public EmitObjAction {
    public:
	using EmitObjAction::EmitObjAction;
	bool isModelParsingAction() const override { return true; }
};

/* One compile, from arguments to object. Its first part can be had before there is a source. */
class Compile {
	std::vector<const char *> args; /* of clang -cc1 */
	const cc_job *job = nullptr;    /* once there is one */
	std::string text;
	llvm::raw_string_ostream text_stream{ text };
	llvm::SmallString<0> object;
	std::shared_ptr<CompilerInvocation> invocation = std::make_shared<CompilerInvocation>();
	std::shared_ptr<Inputs> inputs = std::make_shared<Inputs>();
	llvm::IntrusiveRefCntPtr<llvm::vfs::InMemoryFileSystem> given{ new llvm::vfs::InMemoryFileSystem() };
	llvm::LLVMContext context;
	std::unique_ptr<Reporter> reporter;
	std::unique_ptr<CompilerInstance> compiler;

    public:
	explicit Compile(llvm::ArrayRef<const char *> a) : args(a.begin(), a.end()) {}

	/* All up to the first byte of the source; `args` are those of any source then. */
	bool get_ahead(const char *const *only_dirs)
	{
#if CLANG_VERSION_MAJOR >= 22
		if (!parse_arguments())
			return false;
		set_up(only_dirs);
		for (const auto &entry : compiler->getHeaderSearchOpts().UserEntries)
			if (llvm::sys::path::is_relative(entry.Path)) /* will have files in memory */
				given->addFile(entry.Path + "/.ahead", 0, llvm::MemoryBuffer::getMemBuffer(""));
		if (!compiler->createTarget())
			return false;
		compiler->createSourceManager();
		compiler->createPreprocessor(TU_Complete);
		compiler->createASTContext();
		read_predefined(compiler->getPreprocessor());
		return !reporter->has_reported();
#else
		return false;
#endif
	}

	bool is_ready_for(const cc_job &j) const
	{
		OwnArguments own;

		for (size_t i = 0; i < args.size(); i++)
			if (i == j.arg_count || strcmp(args[i], j.args[i]))
				return false;
		return own.parse({ j.args + args.size(), j.arg_count - args.size() });
	}

	/* Compiles what it is ready for. */
	bool go_on(const cc_job &j)
	{
		EmitAheadAction action(&context);
		OwnArguments own;

		take(j);
		own.parse({ j.args + args.size(), j.arg_count - args.size() });
		compiler->getCodeGenOpts().MainFileName = own.name.str();
		for (auto &rule : own.path_rules)
			add_path_rule(compiler->getCodeGenOpts().DebugPrefixMap, std::move(rule));
		shorten_macros();
		reporter->listen(j);
		noteBottomOfStack();
		if (action.BeginSourceFile(*compiler, FrontendInputFile(own.path, Language::C))) {
			llvm::consumeError(action.Execute());
			action.EndSourceFile();
		}
		return answer();
	}

	/* Compiles anything. */
	bool run(const cc_job &j)
	{
		EmitObjAction action(&context);

		take(j);
		if (parse_arguments()) {
			set_up(j.only_dirs);
			shorten_macros();
			reporter->listen(j);
			compiler->ExecuteAction(action);
		}
		return answer();
	}

    private:
	template <typename Rules> static void add_path_rule(Rules &rules, std::pair<std::string, std::string> rule)
	{
		rules.insert(rules.end(), std::move(rule));
	}

	/* __FILE__ tells of this machine's paths as much as the debug information does. */
	void shorten_macros()
	{
		auto &macros = compiler->getLangOpts().MacroPrefixMap;

		for (const auto &rule : compiler->getCodeGenOpts().DebugPrefixMap)
			macros.insert({ rule.first, rule.second });
		macros.insert({ "./", "" });
	}

	void take(const cc_job &j)
	{
		job = &j;
		if (auto cwd = llvm::vfs::getRealFileSystem()->getCurrentWorkingDirectory())
			given->setCurrentWorkingDirectory(*cwd);
		for (size_t i = 0; i < j.file_count; i++) {
			llvm::StringRef content(j.files[i].text, j.files[i].size);

			given->addFile(j.files[i].name, 0, llvm::MemoryBuffer::getMemBuffer(content, j.files[i].name));
		}
		context.setYieldCallback([](llvm::LLVMContext *, void *self) { ((Compile *)self)->answer_early(); }, this);
	}

	bool parse_arguments()
	{
#if CLANG_VERSION_MAJOR >= 21
		DiagnosticOptions options;
		Reporter early(text_stream, options);
		DiagnosticsEngine engine(llvm::makeIntrusiveRefCnt<DiagnosticIDs>(), options, &early, false);
#else
		llvm::IntrusiveRefCntPtr<DiagnosticOptions> options(new DiagnosticOptions());
		Reporter early(text_stream, *options);
		DiagnosticsEngine engine(llvm::IntrusiveRefCntPtr<DiagnosticIDs>(new DiagnosticIDs()), options, &early, false);
#endif

		if (job)
			early.listen(*job);
		return CompilerInvocation::CreateFromArgs(*invocation, args, engine);
	}

	/* The differences between LLVM releases in how a compiler comes to its invocation, file system and diagnostics. */
	void set_up(const char *const *only_dirs)
	{
		Files disk = llvm::vfs::getRealFileSystem();

		if (only_dirs)
			disk = new OnlyDirs(disk, only_dirs);

		llvm::IntrusiveRefCntPtr<llvm::vfs::OverlayFileSystem> files(new llvm::vfs::OverlayFileSystem(disk));

		files->pushOverlay(given);
#if CLANG_VERSION_MAJOR >= 21
		compiler = std::make_unique<CompilerInstance>(invocation);
#else
		compiler = std::make_unique<CompilerInstance>();
		compiler->setInvocation(invocation);
#endif
		reporter = std::make_unique<Reporter>(text_stream, compiler->getDiagnosticOpts());
#if CLANG_VERSION_MAJOR >= 22
		compiler->setVirtualFileSystem(files);
		compiler->createDiagnostics(reporter.get(), false);
		compiler->createFileManager();
#elif CLANG_VERSION_MAJOR >= 20
		compiler->createDiagnostics(*files, reporter.get(), false);
		compiler->createFileManager(files);
#else
		compiler->createDiagnostics(reporter.get(), false);
		compiler->createFileManager(files);
#endif
		compiler->setVerboseOutputStream(std::make_unique<llvm::raw_null_ostream>());
		text_stream.enable_colors(compiler->getDiagnosticOpts().ShowColors);
		leave_out_dwarf(*compiler);
#if CLANG_VERSION_MAJOR >= 22
		compiler->getCodeGenOpts().setDebugSrcHash(CodeGenOptions::DSH_NONE); /* of files, for DWARF only */
#endif
		compiler->addDependencyCollector(inputs);
		compiler->setOutputStream(std::make_unique<llvm::raw_svector_ostream>(object));
	}

	/* The macros that clang itself defines, and those of the arguments: most of what is read of a small source. */
	static void read_predefined(Preprocessor &pp)
	{
		SourceManager &sources = pp.getSourceManager();
		Token token;

		pp.EnterSourceFile(sources.createFileID(llvm::MemoryBuffer::getMemBufferCopy(pp.getPredefines(), "<built-in>")),
				   nullptr, SourceLocation());
		do
			pp.Lex(token);
		while (token.isNot(tok::eof));
		pp.setPredefines("");
	}

	bool answer()
	{
		bool ok = compiler && !compiler->getDiagnostics().hasErrorOccurred() && !object.empty();

		if (compiler)
			for (const std::string &name : inputs->getDependencies())
				job->put(job->ctx, CC_INPUT, name.data(), name.size());
		text_stream.flush();
		job->put(job->ctx, CC_TEXT, text.data(), text.size());
		if (ok)
			job->put(job->ctx, CC_OBJECT, object.data(), object.size());
		return ok;
	}

	/* LLVM calls this between its passes. Once the object is written, all that is left is taking things apart. */
	void answer_early()
	{
		if (!job->done || object.empty() || compiler->getDiagnostics().hasErrorOccurred())
			return;
		answer();
		job->done(job->ctx);
	}
};

/* Made by cc_prepare(). */
Compile *ahead;

} // namespace

extern "C" const char *cc_version(void)
{
	return CLANG_VERSION_STRING;
}

extern "C" void cc_prepare(const char *const *args, size_t count, const char *const *only_dirs)
{
	initialize_once();
	ahead = new Compile({ args, count });
	if (!ahead->get_ahead(only_dirs))
		ahead = nullptr; /* what it has reported, the job will hear */
}

extern "C" bool cc_compile(const cc_job *job)
{
	initialize_once();
	if (ahead && ahead->is_ready_for(*job))
		return ahead->go_on(*job);
	return Compile({ job->args, job->arg_count }).run(*job);
}
