"""The messages in Chinese, by their English text."""

from __future__ import annotations

CHINESE: dict[str, str] = {
    # client/cli.py
    """\b
Exit codes:
  0   done
  1   a defect of this program
  2   wrong option, profile or file; nothing was sent
  3   not signed in, or not accepted
  4   not granted by the policy
  5   the name is taken, or the file exists
  6   the function refuses the request as it is
  7   no answer yet: run the same command again
  8   the function or the cloud failed
  9   an envelope that cannot be opened, or a key that fails a check
  10  a file, an agent or a program of this machine
  130 interrupted: run the same command again""": """\b
退出码：
  0   完成
  1   本程序的缺陷
  2   选项、配置或文件有误，未发送任何请求
  3   未登录，或登录未被接受
  4   策略不允许
  5   名称已被占用，或文件已存在
  6   函数拒绝该请求
  7   尚无结果：请重新执行同一命令
  8   函数或云端出错
  9   信封无法打开，或密钥未通过检查
  10  本机的文件、agent 或程序有问题
  130 已中断：请重新执行同一命令""",
    "Use the function that `scripts/serve --emulator` runs here.":
        "使用本机 `scripts/serve --emulator` 运行的函数。",
    "Use this profile; see `keypair config`.": "使用该配置，参见 `keypair config`。",
    "Use the function at this address.": "使用该地址的函数。",
    "Print nothing but results and errors.": "只输出结果和错误。",
    "Show the version and exit.": "显示版本并退出。",
    "Start with: keypair create NAME": "从这里开始：keypair create 名称",
    "SSH key pairs of Tencent Cloud, made by your function and sealed on the way to you.":
        "腾讯云 SSH 密钥对：由您的函数创建，私钥在途中始终加密。",
    "Interrupted. Run the same command again: nothing is lost.": "已中断，数据没有丢失：请重新执行同一命令。",
    "Make room, or correct the path or its permissions, and run the command again.":
        "请腾出空间，或修正该路径或其权限，再次执行命令。",
    # client/commands/completion.py
    """Print the completion script of your shell.

    bash: put eval "$(keypair completion bash)" into ~/.bashrc; zsh and fish likewise.""":
        """输出 shell 的补全脚本。

    bash：将 eval "$(keypair completion bash)" 写入 ~/.bashrc；zsh、fish 同理。""",
    "Print the completion script of your shell.": "输出 shell 的补全脚本。",
    # client/commands/config.py
    """Show the profiles, or change them with the commands below.

    Settings: url, region, sign-in (secret, ci, token-command, device, browser), secret-id, audience, issuer,
    client-id, scope, token-command. The environment has them as KP_URL, KP_SECRET_ID and so on, and secrets
    as KP_SECRET_KEY and KP_TOKEN.""":
        """显示配置，或用下面的命令修改。

    配置项：url、region、sign-in（secret、ci、token-command、device、browser）、secret-id、audience、issuer、
    client-id、scope、token-command。对应的环境变量为 KP_URL、KP_SECRET_ID 等，密钥为 KP_SECRET_KEY 和
    KP_TOKEN。""",
    "Show and change profiles.": "显示和修改配置。",
    "Change a setting of the profile; an empty value removes it.": "修改一个配置项；值为空则删除。",
    "Make NAME the profile that is used when none is named.": "将 NAME 设为默认配置。",
    "No profiles yet. Make one: keypair config set url https://…":
        "尚无配置。请创建：keypair config set url https://…",
    # client/commands/create.py
    """Make a key pair, open what comes back, check it, and save the private key as ~/.ssh/NAME.

    Nothing is lost if this is interrupted: the same command goes on where it stopped.""":
        """创建密钥对，打开并检查返回的内容，将私钥保存为 ~/.ssh/NAME。

    中断不会丢失任何内容：重新执行同一命令即可继续。""",
    "Make a key pair and save its private key.": "创建密钥对并保存私钥。",
    "Region, such as ap-guangzhou [default: the function's].":
        "地域，例如 ap-guangzhou [默认：函数所在地域]。",
    "Remove the key pair after 90m, 12h or 30d.": "到期后删除密钥对，例如 90m、12h、30d。",
    "Project of the key pair.": "密钥对所属的项目。",
    "Tag of the key pair; may be repeated.": "密钥对的标签，可重复。",
    "How the private key is written; ppk is PuTTY's.": "私钥格式；ppk 为 PuTTY 格式。",
    "Save it there [default: ~/.ssh/NAME; ~/.ssh/NAME.ppk; NAME.age or the like for --recipient].":
        "保存位置 [默认：~/.ssh/NAME；ppk 为 ~/.ssh/NAME.ppk；NAME.age 等用于 --recipient]。",
    "The private key is not written to standard output.": "私钥不会写到标准输出。",
    "Name a file after --save.": "请在 --save 后写文件名。",
    "{text!r} is not the number of a project.": "{text!r} 不是项目编号。",
    "Write it as the console shows it, such as 1234.": "请按控制台显示的填写，例如 1234。",
    "{source} is the name of a user, which chats take.": "{source} 是用户名，只能在聊天中使用。",
    "Here: curl https://github.com/{user}.keys | keypair create NAME --recipient -":
        "此处请用：curl https://github.com/{user}.keys | keypair create NAME --recipient -",
    "{place} contains a fingerprint, and no key.": "{place} 中是指纹，不是公钥。",
    "Give the key itself: the file that ends in .pub, or what `gpg --armor --export` prints.":
        "请提供公钥本身：以 .pub 结尾的文件，或 `gpg --armor --export` 的输出。",
    "Put the private key into ssh-agent and into no file.": "将私钥加入 ssh-agent，不写入文件。",
    "With --agent: remove it from there after this time.": "与 --agent 合用：到时自动移除。",
    "Make `ssh NAME` log in to this server, as root if no USER is named.":
        "使 `ssh NAME` 登录到该服务器；不写 USER 时以 root 登录。",
    "With --host: add the Include line to ~/.ssh/config, or do not ask.":
        "与 --host 合用：将 Include 行写入 ~/.ssh/config，或不再询问。",
    "Seal to this public key instead, and save the envelope; may be repeated.":
        "改为加密给该公钥并保存信封，可重复。",
    "Seal to the public keys that the policy registers for you.": "加密给策略中为您登记的公钥。",
    "Print the result as JSON.": "以 JSON 输出结果。",
    "Give up after this time; the same command goes on later.": "超过该时间后放弃；之后用同一命令继续。",
    "Give up an unfinished request of this name. A key pair of it cannot be opened any more.":
        "放弃该名称未完成的请求。它可能已创建的密钥对将无法打开。",
    "For plain `ssh {name}`, put this line at the top of ~/.ssh/config: {line}":
        "要直接使用 `ssh {name}`，请将此行加到 ~/.ssh/config 开头：{line}",
    "Going on with the unfinished request for {name}.": "继续 {name} 未完成的请求。",
    "Key pair {name} ({id}) in {region}": "密钥对 {name}（{id}），地域 {region}",
    "Fingerprint  {fingerprint}": "指纹      {fingerprint}",
    "Bind it to a server when you make one (console, API, Terraform: {id}), then:":
        "创建服务器时绑定该密钥对（控制台、API、Terraform：{id}），然后执行：",
    "Add the line `{line}` to ~/.ssh/config?": "将 `{line}` 写入 ~/.ssh/config 吗？",
    "{one} and {other} cannot be used together.": "{one} 与 {other} 不能同时使用。",
    "Leave one of them out.": "请去掉其中一个。",
    "--include needs --host.": "--include 必须与 --host 一起使用。",
    "Add --host USER@HOST, or leave it out.": "请加上 --host USER@HOST，或去掉它。",
    "There is an unfinished request for {name} with other options.": "{name} 有一个选项不同的未完成请求。",
    "Run it with the same options as before, or add --start-over to give it up.":
        "请使用与之前相同的选项，或加 --start-over 放弃它。",
    "The answer of the function is incomplete.": "函数返回的内容不完整。",
    "Tell its operator, with the request id.": "请将请求 ID 告知函数管理员。",
    # client/commands/doctor.py
    "Check address, clock, sign-in, grants, ssh-agent and ~/.ssh, and say what to do.":
        "检查地址、时钟、登录、权限、ssh-agent 和 ~/.ssh，并说明如何处理。",
    "Check everything between here and a key.": "检查获取密钥的每个环节。",
    "Clock": "时钟",
    "within {seconds:.0f} s": "误差不超过 {seconds:.0f} 秒",
    "Sign-in": "登录",
    "you are {caller}": "您是 {caller}",
    "is running": "正在运行",
    "only you may write to it": "只有您可以写入",
    "Address": "地址",
    "the function answers": "函数有响应",
    "the function sends no time": "函数未返回时间",
    "Set this machine's clock; signatures are accepted within 300 s.":
        "请校准本机时钟；签名只在 300 秒内有效。",
    "will be made": "将自动创建",
    "is there": "已存在",
    "others may write to it (mode {mode})": "其他用户可以写入（权限 {mode}）",
    "Profile": "配置",
    "answers with status {status}": "返回状态码 {status}",
    "That is not the function, or it does not run. Check the address: {url}":
        "那不是函数，或函数未运行。请检查地址：{url}",
    "{minutes:.0f} minutes fast": "快 {minutes:.0f} 分钟",
    "{minutes:.0f} minutes slow": "慢 {minutes:.0f} 分钟",
    "Grants": "权限",
    "none": "无",
    "Ask the function's operator for a grant.": "请向函数管理员申请权限。",
    "Check the address and the network: {url}": "请检查地址和网络：{url}",
    "You may have": "可申请",
    "Only --agent needs it.": "仅 --agent 需要。",
    # client/commands/login.py, logout.py
    """Store the secret that the function's operator gave you, or sign in at the identity provider.

    Secrets go into the system's keyring, or into a file that only you can read.""":
        """保存函数管理员给您的密钥，或在身份提供方登录。

    密钥存入系统密钥环，或只有您能读取的文件。""",
    "Store your secret, or sign in with your browser.": "保存密钥，或用浏览器登录。",
    "Read the secret key from standard input instead of asking.": "从标准输入读取 secret key，不再询问。",
    "Stored in {place}. Check it with: keypair doctor": "已保存到 {place}。检查：keypair doctor",
    "The profile of --local is written by `scripts/serve` and is not changed here.":
        "--local 的配置由 `scripts/serve` 生成，不能在这里修改。",
    "To change a profile of yours, leave --local out.": "要修改您自己的配置，请去掉 --local。",
    "{option} is written before the command.": "{option} 要写在命令之前。",
    "For example: keypair {option} create NAME": "例如：keypair {option} create NAME",
    "--local needs no sign-in.": "--local 无需登录。",
    "Run: keypair --local create NAME": "请执行：keypair --local create NAME",
    "Signed in as {who}.": "已登录：{who}。",
    "The profile has no secret id.": "配置中没有 secret id。",
    "Set it: keypair config set secret-id NAME": "请设置：keypair config set secret-id NAME",
    "The profile signs in with {method}; there is nothing to store.":
        "该配置以 {method} 方式登录，无需保存。",
    "To change that: keypair config set sign-in secret, device or browser":
        "如需更改：keypair config set sign-in secret（或 device、browser）",
    "Forget the stored secret or sign-in of the profile.": "清除该配置已保存的密钥或登录状态。",
    "Forgotten in {place}.": "已从 {place} 清除。",
    "Forget the stored secret or sign-in.": "清除已保存的密钥或登录状态。",
    # client/commands/open.py
    "{file} is larger than 1 MiB.": "{file} 超过 1 MiB。",
    """Open an envelope, in a file or pasted into standard input, and save its private key.

    It may be the function's JSON answer or the envelope alone: age, JWE, CMS or OpenPGP.""":
        """打开信封（文件，或粘贴到标准输入），并保存其中的私钥。

    可以是函数返回的 JSON，也可以只是信封：age、JWE、CMS 或 OpenPGP。""",
    "Open an envelope and save its private key.": "打开信封并保存私钥。",
    "Private key that the envelope is sealed to [default: ~/.ssh/id_ed25519, id_rsa].":
        "信封所加密给的私钥 [默认：~/.ssh/id_ed25519、id_rsa]。",
    "Save the private key there [default: FILE without its suffix, as .pem].":
        "私钥的保存位置 [默认：FILE 换成后缀 .pem]。",
    "There is no envelope in this.": "其中没有信封。",
    "Give the whole text from BEGIN to END, or the function's JSON answer.":
        "请提供从 BEGIN 到 END 的完整文本，或函数返回的 JSON。",
    "Where should the private key go?": "私钥保存到哪里？",
    "Add --save PATH, or --agent.": "请加上 --save PATH 或 --agent。",
    "{file} cannot be read: {error}": "无法读取 {file}：{error}",
    "Name the file with the envelope, or '-' for standard input.": "请指定信封文件，或用 '-' 表示标准输入。",
    # client/connection.py
    "The connection broke before the answer was complete.": "连接在收到完整响应前中断。",
    "unknown host name": "主机名不存在",
    "connection refused": "连接被拒绝",
    "The TLS certificate of {url} is not accepted: {error}.": "{url} 的 TLS 证书未被接受：{error}。",
    "The TLS connection to {url} failed: {error}.": "与 {url} 的 TLS 连接失败：{error}。",
    "The proxy blocks access to {url}.": "代理无法连接 {url}。",
    "{url} does not answer.": "{url} 没有响应。",
    "{url} cannot be reached: {error}.": "无法连接 {url}：{error}。",
    # client/destinations.py
    "Private key  {file}": "私钥      {file}",
    "Private key  in ssh-agent, in no file": "私钥      在 ssh-agent 中，未写入文件",
    "Envelope     {file}": "信封      {file}",
    "Sealed to    {recipients}": "加密给    {recipients}",
    "There is no folder {folder}.": "目录 {folder} 不存在。",
    "Make it, or choose another one.": "请创建该目录，或另选一个。",
    "The function made the key pair {found!r} instead of {wanted!r}.":
        "函数创建的密钥对是 {found!r}，而不是 {wanted!r}。",
    "Do not use it. Tell the function's operator, with the request id.":
        "请勿使用。请将请求 ID 告知函数管理员。",
    # client/envelopes/
    "There is no key to open the envelope with.": "没有可用来打开信封的密钥。",
    "Name the key that it was sealed to: keypair open FILE --identity KEY":
        "请指定信封所加密给的密钥：keypair open FILE --identity KEY",
    "Name the file with your private key.": "请指定私钥文件。",
    "That is the public half; name the private one, without .pub.":
        "那是公钥；请指定私钥，即不带 .pub 的文件。",
    "{file} contains no age identity and no SSH key.": "{file} 中没有 age 身份，也没有 SSH 密钥。",
    "An age envelope cannot be opened with the key in {file}.": "{file} 中的密钥无法打开 age 信封。",
    "Use the ssh-ed25519 or ssh-rsa key that it was sealed to.":
        "请使用信封所加密给的 ssh-ed25519 或 ssh-rsa 密钥。",
    "{file} contains an age identity that is damaged.": "{file} 中的 age 身份已损坏。",
    "Restore it from a backup.": "请从备份恢复。",
    "The envelope is damaged.": "信封已损坏。",
    "Copy it again, from BEGIN to END, or ask for it again.": "请从 BEGIN 到 END 重新复制，或重新获取。",
    "The envelope is sealed to another key.": "信封加密给了另一个密钥。",
    "The envelope is sealed to another key, or damaged.": "信封加密给了另一个密钥，或已损坏。",
    "A CMS envelope is opened with the private key that it was sealed to.":
        "CMS 信封需用其所加密给的私钥打开。",
    "Name it: keypair open FILE --identity key.pem": "请指定：keypair open FILE --identity key.pem",
    "{version} cannot open CMS envelopes of this kind.": "{version} 无法打开这种 CMS 信封。",
    "Install OpenSSL 3 and put it first on PATH (macOS: brew install openssl@3).":
        "请安装 OpenSSL 3 并置于 PATH 首位（macOS：brew install openssl@3）。",
    "gpg cannot open the envelope: {reason}": "gpg 无法打开信封：{reason}",
    "Check that `gpg --list-secret-keys` shows the key that it was sealed to.":
        "请确认 `gpg --list-secret-keys` 列出了信封所加密给的密钥。",
    "{name} is not installed.": "未安装 {name}。",
    "Install it, or ask for an envelope to an age or SSH key.": "请安装，或改用 age 或 SSH 密钥接收。",
    "A JWE envelope is opened with the private key that it was sealed to: JWK, PEM or SSH.":
        "打开 JWE 信封需要对应的私钥：JWK、PEM 或 SSH 格式。",
    "Name it: keypair open FILE --identity KEY": "请指定：keypair open FILE --identity KEY",
    "Pipe the passphrase into standard input, or open the envelope in a terminal.":
        "请通过标准输入传入口令，或在终端中打开信封。",
    "{file} is not a JWK.": "{file} 不是 JWK。",
    "{file} is not a private key that can be read.": "{file} 不是可读取的私钥。",
    "The passphrase of {file} is wrong.": "{file} 的密码不对。",
    "Try again.": "请重试。",
    "Passphrase of {file}": "{file} 的密码",
    "There is no envelope in this JSON.": "该 JSON 中没有信封。",
    "The envelope is cut off: it has no END line.": "信封不完整：缺少 END 行。",
    "The key pair was made. Make room, and run the same command again: it gets the same key.": (
        "密钥对已创建。请腾出空间后重新执行同一命令，即可得到同一密钥。"
    ),
    "This is a private key already; there is nothing to open.": "这已经是私钥，无需打开。",
    "Log in with it: ssh -i FILE USER@HOST": "用它登录：ssh -i FILE USER@HOST",
    # client/explanations.py
    "The function answers: {title} ({code})": "函数返回：{title}（{code}）",
    "Tell its operator.": "请告知函数管理员。",
    "{url} is not a keypair function (status {status}).":
        "{url} 不是 keypair 函数（状态码 {status}）。",
    "Check the address. In a company network a proxy may answer instead.":
        "请检查地址。公司网络中响应的可能是代理。",
    "Ask the function's operator what you may have.": "请向函数管理员了解您的权限。",
    "You may only use the public keys that the policy registers for you: add --registered.":
        "您只能使用策略中为您登记的公钥：请加上 --registered。",
    "No grant of yours covers the name {name}.": "您的授权不包含名称 {name}。",
    "No grant of yours covers the region {region}.": "您的授权不包含地域 {region}。",
    "No grant of yours covers the tag {key}={value}.": "您的授权不包含标签 {key}={value}。",
    "A required tag is missing.": "缺少必需的标签。",
    "No grant of yours covers --expires {time}.": "您的授权不允许 --expires {time}。",
    "No public key is registered for you.": "策略中没有为您登记公钥。",
    "Ask the function's operator to register one, or leave --registered out.":
        "请让函数管理员登记一个，或去掉 --registered。",
    "No grant of yours covers the project {project}.": "您的授权不包含项目 {project}。",
    "You are {caller}. You may have:": "您是 {caller}，可申请：",
    "names {names}": "名称 {names}",
    "regions {regions}": "地域 {regions}",
    "Request id: {id}": "请求 ID：{id}",
    "The key pair may have been made, so the request is kept: run the same command again, or add "
    "--start-over to give it up.":
        "密钥对可能已创建，因此保留该请求：请再次运行同一命令，或加上 --start-over 放弃它。",
    "The function does not accept the sign-in.": "函数不接受该登录。",
    "The policy does not grant this.": "策略不允许该请求。",
    "A key pair named {name} exists in the account.": "账号中已有名为 {name} 的密钥对。",
    "If it is yours, `keypair show {name}` shows it. Choose another name: keypair {command}":
        "如果是您的，可用 `keypair show {name}` 查看。请换一个名称：keypair {command}",
    "The function cannot read the request.": "函数无法解析该请求。",
    "This client may be older than the function; update it.": "本客户端可能比函数旧，请更新。",
    "The function refuses a recipient.": "函数拒绝了一个收件公钥。",
    "Give another public key, or leave --recipient out.": "请换一个公钥，或去掉 --recipient。",
    "The cloud refuses the tags.": "云端拒绝这些标签。",
    "Use letters, digits and +-=._:/@() in tags.": "标签只能使用文字、数字和 +-=._:/@()。",
    "The unfinished request does not match what the function has.": "未完成的请求与函数的记录不一致。",
    "Add --start-over to make a new one.": "请加 --start-over 重新创建。",
    "The project does not exist.": "项目不存在。",
    "Leave --project out, or look its number up in the console.":
        "请去掉 --project，或在控制台查询项目编号。",
    "The recipients are too large together.": "收件公钥的总长度过大。",
    "Send fewer or smaller keys.": "请减少数量，或使用更小的公钥。",
    "There is no such operation at this address.": "该地址没有此操作。",
    "The function may be older than this client; ask its operator to update it.":
        "函数可能比本客户端旧，请管理员更新。",
    "The account has as many key pairs as it may have.": "账号的密钥对数量已达上限。",
    "Ask the function's operator to delete some.": "请函数管理员删除一些。",
    "The function is not configured correctly.": "函数配置有误。",
    "Tell its operator; the function's log says what is wrong.": "请告知管理员；函数日志中有原因。",
    "The cloud refuses what the function asks for.": "云端拒绝了函数的请求。",
    "Tell its operator to check the function's role. No key pair was made.":
        "请管理员检查函数的角色。未创建密钥对。",
    "What the cloud made failed a check and was deleted.": "云端创建的密钥对未通过检查，已删除。",
    "Run the command again. If it happens again, tell the function's operator.":
        "请再次执行；若仍如此，请告知函数管理员。",
    "The function failed.": "函数出错。",
    "Tell its operator. No key pair is left.": "请告知管理员。没有遗留密钥对。",
    "The private key could not be sealed.": "私钥加密失败。",
    "Tell the function's operator. No key pair is left.": "请告知函数管理员。没有遗留密钥对。",
    "This machine's clock is off by {minutes:.0f} minutes; set it.":
        "本机时钟偏差 {minutes:.0f} 分钟，请校准。",
    "Clock and address were checked here. Remaining causes:": "已检查时钟和地址，其余可能的原因：",
    "(1) the secret key is wrong or was replaced: `keypair login`;":
        "（1）secret key 有误或已更换：`keypair login`；",
    "(2) {id!r} is not in the policy, or lacks tc3 = true;": "（2）策略中没有 {id!r}，或缺少 tc3 = true；",
    "(3) the function's KEYPAIR_HOSTS lacks {host}.": "（3）函数的 KEYPAIR_HOSTS 中没有 {host}。",
    "The audit log says which.": "审计日志中有具体原因。",
    "{url} redirects elsewhere.": "{url} 重定向到其他地址。",
    "Set the final address: keypair config set url URL": "请设置最终地址：keypair config set url URL",
    "The function is not available ({status}).": "函数不可用（{status}）。",
    "Run the same command again later.": "请稍后重新执行同一命令。",
    "projects {projects}": "项目 {projects}",
    "required tags": "必需标签",
    "optional tags": "可选标签",
    "for at most {time}": "最长 {time}",
    "registered recipients only": "仅限已登记的公钥",
    "(number {position})": "（第 {position} 个）",
    # client/files.py
    "{file} exists, and is left alone.": "{file} 已存在，未作改动。",
    "Choose another name, or another place with --save PATH.":
        "请换一个名称，或用 --save PATH 指定其他位置。",
    "{file} cannot be written: {error}": "无法写入 {file}：{error}",
    "Nothing is lost: correct that, or add --save PATH, and run the command again.":
        "内容没有丢失：请解决该问题，或加 --save PATH，再次执行命令。",
    # client/order.py
    "A name has 1 to 25 letters, digits or '_'.": "名称为 1 至 25 个英文字母、数字或下划线。",
    "{name!r} cannot be the name of a key pair. {rule}": "{name!r} 不能用作密钥对名称。{rule}",
    "For example: {usable}": "例如：{usable}",
    "{text!r} is not a duration.": "{text!r} 不是时长。",
    "Write 90m, 12h or 30d.": "请写成 90m、12h 或 30d。",
    "{text!r} is not a region.": "{text!r} 不是地域。",
    "Write it as the cloud does, such as ap-guangzhou.": "请使用云端的写法，例如 ap-guangzhou。",
    "No key pair can have a name like {text!r}.": "密钥对的名称不可能是 {text!r}。",
    "Names have letters, digits and '_'; in a pattern '*' matches any characters, '?' one.":
        "名称由字母、数字和 '_' 组成；模式中 '*' 匹配任意个字符，'?' 匹配一个。",
    "Give --tag once for each tag.": "每个标签使用一次 --tag。",
    "{text!r} is not a tag.": "{text!r} 不是标签。",
    "Write --tag KEY=VALUE, such as --tag team=web.": "请写成 --tag KEY=VALUE，例如 --tag team=web。",
    "The tag {key!r} is given twice.": "标签 {key!r} 重复。",
    "Give it once.": "请只写一次。",
    # client/pending.py
    "Another `keypair create {name}` is running.": "另一个 `keypair create {name}` 正在运行。",
    "Wait until it has ended.": "请等待其结束。",
    "It holds an unfinished request. Move it away to start again.":
        "其中是未完成的请求。移走它即可重新开始。",
    "Nothing was sent. Make room, or correct the permissions of that folder.":
        "未发送任何请求。请腾出空间，或修正该目录的权限。",
    # client/private_key.py
    "The envelope does not contain a valid private key.": "信封中的内容不是可用的私钥。",
    "The private key does not belong to the public key that was announced.": "私钥与返回的公钥不匹配。",
    # client/profiles.py
    "There is no profile {name!r} in {file}.": "{file} 中没有配置 {name!r}。",
    "`keypair config` lists them; `keypair --profile NAME config set url URL` makes one.":
        "`keypair config` 列出配置；`keypair --profile NAME config set url URL` 创建配置。",
    "No function address is set.": "未设置函数地址。",
    "Set one: keypair config set url https://…, or {name}.":
        "请设置：keypair config set url https://…，或环境变量 {name}。",
    "Unknown sign-in method {method!r}.": "未知的登录方式 {method!r}。",
    "Choose one of: {methods}": "可选：{methods}",
    "The address {url!r} has blanks in it.": "地址 {url!r} 中有空白字符。",
    "Remove them.": "请删除。",
    "The address {url!r} has no scheme.": "地址 {url!r} 缺少协议。",
    "Write https://{url}": "请写成 https://{url}",
    "{url!r} is not an address.": "{url!r} 不是地址。",
    "Write it like https://keys.example.com": "请写成 https://keys.example.com 的形式",
    "The address {url!r} has a path.": "地址 {url!r} 带有路径。",
    "Give only scheme and host: {url}": "只需协议和主机名：{url}",
    "{url} is not encrypted.": "{url} 未加密。",
    "Use https://{host}; plain http is for functions on this machine.":
        "请使用 https://{host}；http 仅用于本机的函数。",
    "No local function is running.": "本机没有运行函数。",
    "Start one in another terminal: scripts/serve --emulator": "请在另一个终端启动：scripts/serve --emulator",
    "{name!r} cannot be the name of a profile.": "{name!r} 不能用作配置名称。",
    "Use letters, digits, '.', '_' and '-'.": "请使用英文字母、数字、'.'、'_' 和 '-'。",
    "A secret does not belong in the file or on a command line.": "密钥不应写在文件或命令行中。",
    "Run `keypair login`, which asks for it and stores it safely.":
        "请执行 `keypair login`，按提示输入并安全保存。",
    "Unknown setting {key!r}.": "未知的配置项 {key!r}。",
    "Settings are: {settings}": "配置项有：{settings}",
    "Correct it in an editor, or move it away and start again.": "请用编辑器修正，或移走后重新开始。",
    "{file} contains a secret: {key}.": "{file} 中含有密钥：{key}。",
    "Remove it there, and run `keypair login`, which stores it safely.":
        "请从中删除，并执行 `keypair login` 安全保存。",
    "Profile {name!r} in {file}: unknown setting {key!r}.":
        "{file} 的配置 {name!r} 中有未知的配置项 {key!r}。",
    # client/recipients.py
    "standard input": "标准输入",
    "the recipient": "收件公钥",
    "{place} contains a private key. Nothing was sent.": "{place} 中是私钥。未发送任何请求。",
    "Give the public half: {how}": "请提供公钥：{how}",
    "the file that ends in .pub.": ".pub 结尾的文件。",
    "the JWK without its private members.": "去掉私有成员后的 JWK。",
    "Name a file with an RSA public key, such as ~/.ssh/id_rsa.pub.":
        "请指定 RSA 公钥文件，例如 ~/.ssh/id_rsa.pub。",
    "Public keys begin with age1, ssh-, ecdsa- or -----BEGIN, or are a JWK.":
        "公钥以 age1、ssh-、ecdsa- 或 -----BEGIN 开头，或者是 JWK。",
    "{place} is empty.": "{place} 为空。",
    "Give a public key.": "请提供公钥。",
    "The key in {place} is longer than 48 KiB.": "{place} 中的公钥超过 48 KiB。",
    "For PGP: gpg --armor --export-options export-minimal,no-export-attributes --export NAME":
        "PGP 请用：gpg --armor --export-options export-minimal,no-export-attributes --export NAME",
    "Nothing can be sealed to a key of type {type}.": "无法加密给 {type} 类型的公钥。",
    "Use an ssh-ed25519, ssh-rsa or ecdsa key, or leave --recipient out.":
        "请使用 ssh-ed25519、ssh-rsa 或 ecdsa 公钥，或去掉 --recipient。",
    "{place} does not contain a public key.": "{place} 中没有公钥。",
    "--recipient takes a file, '-' for standard input, or a public key: age1…, ssh-ed25519 …":
        "--recipient 的值为文件、'-'（标准输入）或公钥：age1…、ssh-ed25519 …",
    "There is no file {file}.": "文件 {file} 不存在。",
    "{file} is not text.": "{file} 不是文本。",
    "Give a public key as text: for PGP `gpg --armor --export NAME`, for certificates PEM.":
        "请提供文本形式的公钥：PGP 用 `gpg --armor --export NAME`，证书用 PEM。",
    # client/secret_store.py
    "the system's keyring": "系统密钥环",
    "Delete it and sign in again: keypair login": "请删除后重新登录：keypair login",
    "The system's keyring refuses: {error}": "系统密钥环拒绝：{error}",
    "Unlock it, and log out again: what it keeps is still there.":
        "请解锁后再次退出登录：其中保存的内容仍在。",
    "Unlock it, or set KP_KEYRING=off to use a file instead.": "请解锁，或设置 KP_KEYRING=off 改用文件。",
    # client/service.py
    "Check the address and the network: keypair doctor": "请检查地址和网络：keypair doctor",
    "The same request is still being worked on.": "同一请求仍在处理中。",
    "Too many requests.": "请求过于频繁。",
    "The cloud is busy.": "云端繁忙。",
    "The function cannot reach the cloud.": "函数无法连接云端。",
    "The outcome is not known yet.": "结果尚不确定。",
    "The function is not available at the moment ({status}).": "函数暂时不可用（{status}）。",
    "{problem} Trying again in {seconds:.0f} s; {left:.0f} s left.":
        "{problem}{seconds:.0f} 秒后重试，剩余 {left:.0f} 秒。",
    "Run the same command again: it goes on with the same request, and nothing is lost.":
        "请重新执行同一命令：将继续同一请求，不会丢失任何内容。",
    "The function asks to wait {seconds:.0f} s.": "函数要求等待 {seconds:.0f} 秒。",
    # client/sign_in/
    "Not signed in to {url}.": "尚未登录 {url}。",
    "Run `keypair login`, or set KP_SECRET_ID and KP_SECRET_KEY.":
        "请执行 `keypair login`，或设置 KP_SECRET_ID 和 KP_SECRET_KEY。",
    "The policy has to name the issuer {issuer!r} and claims of this token (sub {subject!r}).":
        "策略中须有签发者 {issuer!r} 以及该令牌的声明（sub {subject!r}）。",
    "The token is not a JWT.": "提供的令牌不是 JWT。",
    "A JWT has three parts with dots between, and begins with 'ey'.":
        "JWT 由点号分隔的三部分组成，以 'ey' 开头。",
    "The token ran out at {time}. Get a new one.": "令牌已于 {time} 过期，请重新获取。",
    "The token is from the future ({time}). Check this machine's clock.":
        "令牌的签发时间在将来（{time}），请检查本机时钟。",
    "The token is for the audience {found!r}, the profile says {wanted!r}.":
        "令牌的 audience 是 {found!r}，而配置为 {wanted!r}。",
    "Open {url} on any device and enter the code {code}": "请在任意设备上打开 {url} 并输入 {code}",
    "The sign-in was refused, or took too long.": "登录被拒绝或超时。",
    "Sign in: keypair login": "请登录：keypair login",
    "Not signed in, or the sign-in ran out.": "未登录，或登录已过期。",
    "Use an address with https.": "请使用 https 地址。",
    "{issuer} refuses the client {client!r}.": "{issuer} 拒绝客户端 {client!r}。",
    "Check client-id, and that the provider allows it the device flow.":
        "请检查 client-id，并确认身份提供方允许设备登录。",
    "Sign in with your browser: {url}": "请在浏览器中登录：{url}",
    "The sign-in failed: {error}": "登录失败：{error}",
    "{issuer} refuses the sign-in: {error}": "{issuer} 拒绝登录：{error}",
    "Check that the provider knows {client!r} as a public client with PKCE.":
        "请确认身份提供方已将 {client!r} 登记为使用 PKCE 的公开客户端。",
    "The sign-in ran out.": "登录已过期。",
    "You are signed in, but {issuer} gave no token for {audience!r}.":
        "已登录，但 {issuer} 没有签发用于 {audience!r} 的令牌。",
    "Set the audience that the function's policy has: keypair config set audience NAME":
        "请设置策略中的 audience：keypair config set audience NAME",
    "The profile has no issuer or no client-id.": "配置缺少 issuer 或 client-id。",
    "Set both: keypair config set issuer https://… and keypair config set client-id NAME":
        "请设置：keypair config set issuer https://… 和 keypair config set client-id NAME",
    "{issuer} does not answer as an OpenID provider.": "{issuer} 不是可用的 OpenID 身份提供方。",
    "Check the address: {url}": "请检查地址：{url}",
    "{issuer} does not offer this way to sign in.": "{issuer} 不支持这种登录方式。",
    "Choose another one: keypair config set sign-in device (or: browser)":
        "请换一种：keypair config set sign-in device（或 browser）",
    "{issuer} does not answer ({status}).": "{issuer} 没有响应（{status}）。",
    "{url} has not answered within {seconds:.0f} s.": "{url} 在 {seconds:.0f} 秒内没有响应。",
    "Try again later.": "请稍后重试。",
    "no answer from the browser": "浏览器没有返回结果",
    "The secret id {id!r} has blanks around it.": "secret id {id!r} 两端有空白字符。",
    "Remove the blanks.": "请删除空白字符。",
    "{id} is a SecretId of Tencent Cloud.": "{id} 是腾讯云的 SecretId。",
    "The function has its own ids and secrets; ask its operator for yours.":
        "函数使用自己的 id 和密钥，请向管理员索取。",
    "{id!r} cannot be the id of a caller.": "{id!r} 不能是调用者 id。",
    "It has no blanks, slashes or commas; copy it again from the function's operator.":
        "其中没有空白、斜杠或逗号，请重新复制。",
    "It has 43 letters, digits, '-' and '_'. Copy it again, without blanks or quotes.":
        "应为 43 个字母、数字、'-' 和 '_'。请重新复制，不要带空白或引号。",
    "The secret key cannot be right: its length is {length}.": "secret key 有误：长度为 {length} 个字符。",
    "Secret id": "Secret id",
    "Secret key": "Secret key",
    "What is stored for {old} stays. To forget it: {command}": "为 {old} 保存的内容仍在。如需清除：{command}",
    "Nothing is stored for this profile at {url}.": "此配置在 {url} 没有保存任何内容。",
    "--local needs no sign-in, so nothing is stored for it.": "--local 无需登录，没有保存任何内容。",
    "Leave it out.": "请去掉它。",
    "The secret key cannot be right: it has characters that no secret has.":
        "secret key 有误：含有不允许的字符。",
    "No token command is set.": "未设置令牌命令。",
    "Set one: keypair config set token-command 'COMMAND'":
        "请设置：keypair config set token-command 'COMMAND'",
    "The token command printed nothing.": "令牌命令没有输出。",
    "Run it by hand: {command}": "请手动执行：{command}",
    "Look at the job's settings for identity tokens (OIDC).": "请检查该任务的身份令牌（OIDC）设置。",
    "Not signed in, and no CI system is here to give a token.": "未登录，也没有可提供令牌的 CI 系统。",
    "Run `keypair login`; `keypair config set sign-in …` chooses how.":
        "请执行 `keypair login`；登录方式用 `keypair config set sign-in …` 选择。",
    "The token command failed ({reason}).": "令牌命令失败（{reason}）。",
    "This GitHub job may not ask for a token.": "该 GitHub 任务无权申请令牌。",
    "Add to the job: permissions: { id-token: write, contents: read }":
        "请在任务中加入：permissions: { id-token: write, contents: read }",
    "Add to the job: id_tokens with the variable {variable} and aud {audience!r}.":
        "请在任务中加入 id_tokens：变量 {variable}，aud 为 {audience!r}。",
    "The CI system gives no token: {error}": "CI 系统没有提供令牌：{error}",
    # client/ssh_agent.py
    "--lifetime needs --agent.": "--lifetime 需与 --agent 合用。",
    "Add --agent, or leave it out.": "请加上 --agent，或去掉它。",
    "No ssh-agent is running.": "ssh-agent 未运行。",
    "Start one: {command}": "请启动：{command}",
    "ssh-add refuses the key: {reason}": "ssh-add 拒绝该密钥：{reason}",
    "Install the OpenSSH client.": "请安装 OpenSSH 客户端。",
    "Run the same command again, or save the key with --save PATH.":
        "请重新执行同一命令，或用 --save PATH 保存。",
    "On Windows leave --lifetime out.": "在 Windows 上请去掉 --lifetime。",
    # client/ssh_config.py
    "{text!r} is not a server.": "{text!r} 不是服务器。",
    "Write --host root@1.2.3.4 or --host ubuntu@name:2222.":
        "请写成 --host root@1.2.3.4 或 --host ubuntu@name:2222。",
    "Correct its permissions and run the command again.": "请修正其权限后重新执行。",
    "Put this line at its top yourself: {line}": "请自行将此行加到其开头：{line}",
    # client/key_pairs.py and its commands
    "Import a public key of your own.": "导入自己的公钥。",
    "List your key pairs.": "列出您的密钥对。",
    "Show one key pair.": "显示一个密钥对。",
    "Delete key pairs.": "删除密钥对。",
    "You have no key pair {name}.": "您没有名为 {name} 的密钥对。",
    "You have no such key pair.": "您没有这个密钥对。",
    "See what there is: keypair list": "查看已有的密钥对：keypair list",
    "A server uses the key pair.": "该密钥对已绑定服务器。",
    "Unbind it there first, in the console or with DisassociateInstancesKeyPairs.":
        "请先解绑：在控制台操作，或调用 DisassociateInstancesKeyPairs。",
    "The key pair of this request was deleted.": "此请求的密钥对已被删除。",
    "The account has this public key already.": "账号中已有这个公钥。",
    "Import another one; for one of your own, see: keypair list": "请换一个公钥；自己已有的见：keypair list",
    "You are {caller}. You may: {actions}.": "您的身份是 {caller}，可执行：{actions}。",
    "NAME": "名称",
    "REGION": "地域",
    "ID": "ID",
    "CREATED": "创建",
    "EXPIRES": "到期",
    "USED BY": "绑定的服务器",
    "CALLER": "调用者",
    "(over)": "（已到期）",
    "(in {days} d)": "（{days} 天后）",
    "(in {hours:.0f} h)": "（{hours:.0f} 小时后）",
    "(within an hour)": "（一小时内）",
    "Only this region [default: all of yours].": "只看这个地域 [默认：您的全部地域]。",
    "Only what this caller got, for operators.": "只看这个调用者的密钥对，供管理员使用。",
    "Only key pairs that end within 90m, 12h or 30d.": "只看在 90m、12h 或 30d 之内到期的密钥对。",
    "No key pairs found.": "没有密钥对。",
    "End within seven days: {names}": "七天内到期：{names}",
    "Expired, and removed soon: {names}": "已到期，即将删除：{names}",
    """List your key pairs. NAME is a name or a pattern: '*' matches any characters, '?' one.

    Key pairs that end within seven days are named below the list.""":
        """列出您的密钥对。NAME 可以是名称或模式：'*' 匹配任意字符，'?' 匹配一个字符。

    七天内到期的密钥对会在列表下方注明。""",
    "{name}  {id}  {region}": "{name}  {id}  {region}",
    "Caller       {caller}": "调用者       {caller}",
    "Made         {time}": "创建时间     {time}",
    "Expires      {time}": "到期时间     {time}",
    "Used by      {servers}": "绑定服务器   {servers}",
    "Tags         {tags}": "标签         {tags}",
    "Public key   {key}": "公钥         {key}",
    "Show the key pair with this name or id. The private key is not stored anywhere.":
        "按名称或 ID 显示密钥对。私钥不会保存在任何地方。",
    "All that this caller got, for operators.": "这个调用者的全部密钥对，供管理员使用。",
    "Do not ask.": "不再询问。",
    "Give names, or --caller.": "请给出名称，或使用 --caller。",
    "For example: keypair delete web_1": "例如：keypair delete web_1",
    """Delete key pairs by name or id, after a question.

    This locks nobody out of a server that has the public key in authorized_keys: remove it there as well.""":
        """按名称或 ID 删除密钥对，删除前会询问。

    服务器 authorized_keys 中的公钥不受影响，仍可登录：请在服务器上一并删除。""",
    "Nothing was deleted.": "没有删除任何密钥对。",
    "This is not a terminal, so nobody can be asked.": "当前不是终端，无法询问。",
    "Pipe the secret key into: keypair login --stdin": "请通过管道把密钥传给：keypair login --stdin",
    "Add --yes to delete without a question.": "加上 --yes 可不经询问直接删除。",
    "Key pairs to delete: {number}. This cannot be undone. Go on?":
        "将删除 {number} 个密钥对，删除后无法恢复。是否继续？",
    "Without a grant that reaches {caller}, none is shown.":
        "如果您的授权不包含 {caller}，则不会显示其密钥对。",
    "{name!r} is a pattern, and this command takes names.": "{name!r} 是模式，此命令只接受名称。",
    "See what matches: keypair list {name!r}": "查看匹配的密钥对：keypair list {name!r}",
    "Deleted {name} ({id})": "已删除 {name}（{id}）",
    "  {file} is still here. Remove it when no server trusts the key any more.":
        "  本机仍有 {file}。等服务器都不再信任这个密钥后，请删除它。",
    "  {file} still has a block for the host {name}.": "  {file} 中仍有主机 {name} 的配置。",
    "Imported {name} as {id} in {region}.": "已在 {region} 导入 {name}，ID 为 {id}。",
    """Import the RSA public key in FILE, such as ~/.ssh/id_rsa.pub, as the key pair NAME.

    Only the public half is sent. `ssh-keygen -t rsa -b 3072` makes a key.""":
        """把 FILE 中的 RSA 公钥（例如 ~/.ssh/id_rsa.pub）导入为密钥对 NAME。

    只发送公钥。可用 `ssh-keygen -t rsa -b 3072` 生成密钥。""",
    "The public key cannot be imported.": "无法导入该公钥。",
    "Import an RSA key of 2048 to 4096 bits: ssh-keygen -t rsa -b 3072":
        "请导入 2048 至 4096 位的 RSA 公钥：ssh-keygen -t rsa -b 3072",
    "{place} contains {number} keys.": "{place} 中有 {number} 个公钥。",
    "Give a file with one key, such as ~/.ssh/id_rsa.pub.":
        "请给出只含一个公钥的文件，例如 ~/.ssh/id_rsa.pub。",
}  # fmt: skip
