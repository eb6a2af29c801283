# bash completion for rolebridgectl(1); generated from its command table
_rolebridgectl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local line='' found='' next='' rest word i
	local -a commands=(
		'status'
		'check'
		'reload'
		'sync'
		'plan'
		'apply'
		'plans list'
		'plans show'
		'runs list'
		'users list'
		'users search'
		'users show'
		'users create'
		'users set'
		'users grant'
		'users revoke'
		'users disable'
		'users enable'
		'users move'
		'users delete'
		'users reassign'
		'users link'
		'users unlink'
		'users tie'
		'users untie'
		'accounts users'
		'accounts personas'
		'why'
		'resources list'
		'resources show'
		'resources children'
		'resources put'
		'resources delete'
		'resources import'
		'resources visible'
		'references list'
		'references show'
		'references put'
		'references delete'
		'decide'
		'rules list'
		'rules show'
		'rules release'
		'rules draft'
		'rules preview'
		'rules activate'
		'rules delete'
		'rules order'
		'profiles list'
		'profiles show'
		'profiles create'
		'profiles update'
		'profiles delete'
		'roles list'
		'roles show'
		'roles create'
		'roles update'
		'roles delete'
		'roles copy'
		'roles bulk-update'
		'segments list'
		'segments show'
		'segments count'
		'segments users'
		'segments export'
		'segments create'
		'segments update'
		'segments delete'
		'personas list'
		'personas show'
		'personas create'
		'personas update'
		'personas delete'
		'personas research list'
		'personas research add'
		'personas research remove'
		'personas validations list'
		'personas validations add'
		'personas validations remove'
		'personas review'
		'personas reviews'
		'personas links list'
		'personas links add'
		'personas links remove'
		'invites create'
		'invites list'
		'invites resend'
		'invites revoke'
		'import users'
		'import sample'
		'export users'
		'tokens create'
		'tokens list'
		'tokens revoke'
		'sessions list'
		'sessions end'
		'sources test'
		'idp test'
		'saml metadata'
		'audit list'
		'audit export'
		'audit verify'
		'alarms list'
		'alarms clear'
		'quarantine list'
		'quarantine show'
	)
	local global='--config --socket --json --help --version'
	local -A options=(
		['sync']='--user --full'
		['plan']='--config --rule'
		['apply']='--only'
		['plans list']='--state'
		['users list']='--organization --profile --grant --state --limit --after'
		['users search']='--filter --segment --organization --profile --grant --state --after --limit'
		['users create']='--email --name --organization --profile'
		['users set']='--username --email --name --if-match'
		['users grant']='--expires --if-match'
		['users revoke']='--if-match'
		['users disable']='--reason --if-match'
		['users enable']='--if-match'
		['users move']='--dry-run --if-match'
		['users delete']='--if-match'
		['users reassign']='--application'
		['users link']='--if-match'
		['users unlink']='--if-match'
		['accounts users']='--limit --after'
		['accounts personas']='--limit --after'
		['why']='--sensitive'
		['resources list']='--application --type --owner --unassigned --limit --after'
		['resources children']='--type --limit --after'
		['resources put']='--owner --parent --title --organization --if-match'
		['resources delete']='--recursive --if-match'
		['resources visible']='--parent --limit --after'
		['references list']='--application --kind --user --orphaned --limit --after'
		['references put']='--label --if-match'
		['references delete']='--if-match'
		['rules draft']='--change --dry-run --if-match'
		['rules delete']='--draft --dry-run --if-match'
		['rules order']='--dry-run'
		['profiles list']='--limit --after'
		['profiles create']='--description --permissions --file --dry-run'
		['profiles update']='--description --permissions --file --dry-run --if-match'
		['profiles delete']='--dry-run --if-match'
		['roles list']='--limit --after'
		['roles create']='--description --classifications --segments --permissions --file --dry-run'
		['roles update']='--description --classifications --segments --permissions --file --dry-run --if-match'
		['roles delete']='--dry-run --if-match'
		['roles copy']='--description --dry-run'
		['roles bulk-update']='--dry-run'
		['segments list']='--limit --after'
		['segments users']='--limit --after'
		['segments export']='--format --organization'
		['segments create']='--filter --description --file --dry-run'
		['segments update']='--filter --description --file --dry-run --if-match'
		['segments delete']='--dry-run --if-match'
		['personas list']='--overdue --limit --after'
		['personas create']='--title --primary --objectives --frustrations --watering-holes --technical-sophistication --review-due --file --dry-run'
		['personas update']='--title --primary --objectives --frustrations --watering-holes --technical-sophistication --review-due --file --dry-run --if-match'
		['personas delete']='--dry-run --if-match'
		['personas research list']='--kind --limit --after'
		['personas research add']='--at --count --note --link'
		['personas validations list']='--answer --limit --after'
		['personas validations add']='--user --respondent --comment'
		['personas review']='--note --next-due'
		['personas reviews']='--limit --after'
		['personas links list']='--kind --limit --after'
		['invites create']='--profile --roles --personas --groups --name --username --organization'
		['invites list']='--state --email --organization --limit --after'
		['import users']='--dry-run --all'
		['export users']='--format --organization --filter --segment'
		['tokens create']='--user --service --organization --application --scope --expires'
		['tokens list']='--user --service --all --limit --after'
		['sessions list']='--user --source --limit --after'
		['sessions end']='--user'
		['sources test']='--sample'
		['audit list']='--person --actor --action --object --request --from --to --after --before --limit'
		['audit export']='--person --actor --action --object --request --from --to --after --before --format'
		['audit verify']='--head --archive'
		['alarms list']='--all'
		['quarantine list']='--source --limit'
		['quarantine show']='--source'
	)

	COMPREPLY=()
	case $prev in
	--config | --socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--config | --socket) ((i++)) ;;
		-*) ;;
		*) line+="${line:+ }$word" ;;
		esac
	done
	for word in "${commands[@]}"; do
		if [[ "$line " == "$word "* ]]; then found=$word; fi
	done
	if [[ $cur == -* ]]; then
		next="$global ${options[${found:-none}]-}"
	elif [[ $found == check ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	elif [[ -z $found ]]; then
		for word in "${commands[@]}"; do
			if [[ $word == "${line:+$line }"* ]]; then
				rest=${word#"${line:+$line }"}
				next+=" ${rest%% *}"
			fi
		done
	fi
	mapfile -t COMPREPLY < <(compgen -W "$next" -- "$cur" | sort -u)
}
complete -o default -F _rolebridgectl rolebridgectl
