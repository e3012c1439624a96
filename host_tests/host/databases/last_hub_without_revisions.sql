BEGIN TRANSACTION;
CREATE TABLE access_tokens (
	id BIGINT NOT NULL, 
	token_hash VARCHAR(64) NOT NULL, 
	refresh_hash VARCHAR(64) NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	refresh_expires_at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (token_hash)
);
CREATE TABLE commands (
	seq INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	device_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	friendly_name VARCHAR(255), 
	file_id VARCHAR(36), 
	parameters JSON NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	message TEXT, 
	created_at FLOAT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id), 
	FOREIGN KEY(device_id) REFERENCES devices (id) ON DELETE CASCADE
);
INSERT INTO "commands" VALUES(1,'1611da58-1c4b-4bda-97c4-a3dbda57015e','8e243e70-ca44-4830-85a8-7ae6c2110b14','blink',NULL,NULL,'{"times": 2}','pending',NULL,1795262580.0,1795262580.0);
CREATE TABLE devices (
	id VARCHAR(36) NOT NULL, 
	key_hash VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	sn VARCHAR(255) NOT NULL, 
	mac VARCHAR(64), 
	cloud_id VARCHAR(255), 
	hardware_key VARCHAR(255) NOT NULL, 
	sub_model VARCHAR(255), 
	firmware_version VARCHAR(255) NOT NULL, 
	details JSON NOT NULL, 
	parent_id VARCHAR(36), 
	collection_id VARCHAR(14) NOT NULL, 
	space_version INTEGER NOT NULL, 
	device_space_version INTEGER, 
	info_version INTEGER NOT NULL, 
	config JSON NOT NULL, 
	config_version INTEGER NOT NULL, 
	config_updated FLOAT NOT NULL, 
	device_config_version INTEGER, 
	status VARCHAR(16), 
	state JSON NOT NULL, 
	message TEXT, 
	telemetry_at FLOAT, 
	cloud_settings JSON NOT NULL, 
	update_times JSON NOT NULL, 
	transport VARCHAR(8), 
	online BOOLEAN NOT NULL, 
	seen_at FLOAT, 
	created_at FLOAT NOT NULL, 
	state_order JSON, 
	kept_messages INTEGER, 
	imsi VARCHAR(16), 
	imei VARCHAR(16), 
	hub_url VARCHAR(255), 
	PRIMARY KEY (id), 
	UNIQUE (cloud_id), 
	FOREIGN KEY(collection_id) REFERENCES spaces (id)
);
INSERT INTO "devices" VALUES('8e243e70-ca44-4830-85a8-7ae6c2110b14','826ae40127707997477c7db496b013a114756309a16f37c4bd46b1b8f8f5e02a','Lamp 1','old-1','aa:01',NULL,'lamp',NULL,'1.0.0','{}',NULL,'tahlm537k38h74',1,NULL,0,'{}',0,1795262400.0,NULL,'online','{"k": 2, "warm": true, "status": "online"}',NULL,1795262580.0,'{}','[]',NULL,0,NULL,1795262400.0,'{"at": 1795262520000, "floor": 0, "times": {"warm": 1795262520000, "status": 1795262520000, "k": 1795262520000}}',3,NULL,NULL,NULL);
INSERT INTO "devices" VALUES('22133f63-7ad9-4ac2-accf-ba69da32fca9','fc3450d27aba24436d5088bd53608ac782b68e719241b9e8bd719dd7e0374532','Lamp 2','old-2','aa:02',NULL,'lamp',NULL,'1.0.0','{}',NULL,'gtent22m4s7rfd',0,NULL,0,'{}',0,1795262400.0,NULL,NULL,'{"k": 7}',NULL,1795262580.0,'{}','[]',NULL,0,NULL,1795262400.0,'{"at": 1795262520000, "floor": 0, "times": {"k": 1795262520000}}',1,NULL,NULL,NULL);
CREATE TABLE dumps (
	id VARCHAR(36) NOT NULL, 
	device_id VARCHAR(36) NOT NULL, 
	mime VARCHAR(255) NOT NULL, 
	filename VARCHAR(255) NOT NULL, 
	length INTEGER NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(device_id) REFERENCES devices (id) ON DELETE CASCADE
);
CREATE TABLE events (
	seq INTEGER NOT NULL, 
	device_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	category VARCHAR(255) NOT NULL, 
	int_key_1 INTEGER, 
	int_key_2 INTEGER, 
	string_key_1 VARCHAR(255), 
	string_key_2 VARCHAR(255), 
	timestamp FLOAT NOT NULL, 
	received_at FLOAT NOT NULL, 
	PRIMARY KEY (seq), 
	FOREIGN KEY(device_id) REFERENCES devices (id) ON DELETE CASCADE
);
CREATE TABLE files (
	seq INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	"desc" TEXT, 
	file_type VARCHAR(255) NOT NULL, 
	version VARCHAR(255), 
	checksum VARCHAR(255) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	signature TEXT, 
	public_notes TEXT, 
	hardware_key VARCHAR(255), 
	length BIGINT NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id)
);
CREATE TABLE incidents (
	seq INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	device_id VARCHAR(36) NOT NULL, 
	opened_by VARCHAR(16) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	priority VARCHAR(16) NOT NULL, 
	title VARCHAR(255) NOT NULL, 
	issue VARCHAR(255), 
	description TEXT, 
	created_at FLOAT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id), 
	FOREIGN KEY(device_id) REFERENCES devices (id) ON DELETE CASCADE
);
CREATE TABLE licenses (
	seq INTEGER NOT NULL, 
	id VARCHAR(36) NOT NULL, 
	device_id VARCHAR(36) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	fields JSON NOT NULL, 
	data TEXT NOT NULL, 
	signature TEXT NOT NULL, 
	action VARCHAR(8) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	error TEXT, 
	offered BOOLEAN NOT NULL, 
	held BOOLEAN NOT NULL, 
	issued_at FLOAT NOT NULL, 
	expires_at FLOAT, 
	created_at FLOAT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id), 
	FOREIGN KEY(device_id) REFERENCES devices (id) ON DELETE CASCADE
);
CREATE TABLE meta (
	"key" VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('home','gtent22m4s7rfd');
CREATE TABLE models (
	hardware_key VARCHAR(255) NOT NULL, 
	known BOOLEAN NOT NULL, 
	latest_fw_version VARCHAR(255), 
	latest_fw_file_id VARCHAR(36), 
	PRIMARY KEY (hardware_key)
);
CREATE TABLE notifications (
	id BIGINT NOT NULL, 
	operation_id BIGINT NOT NULL, 
	sent_at FLOAT NOT NULL, 
	created_at FLOAT NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	resource VARCHAR(255) NOT NULL, 
	progress INTEGER NOT NULL, 
	message TEXT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(operation_id) REFERENCES operations (id) ON DELETE CASCADE
);
CREATE TABLE operations (
	id BIGINT NOT NULL, 
	device_id VARCHAR(36) NOT NULL, 
	number BIGINT NOT NULL, 
	command_id VARCHAR(36), 
	resource VARCHAR(255) NOT NULL, 
	properties JSON NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	started_at FLOAT NOT NULL, 
	ended_at FLOAT, 
	created_at FLOAT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(device_id) REFERENCES devices (id) ON DELETE CASCADE
);
INSERT INTO "operations" VALUES(769875096398058129,'8e243e70-ca44-4830-85a8-7ae6c2110b14',1590292215405169626,'1611da58-1c4b-4bda-97c4-a3dbda57015e','blink','{"times": 2}','RUNNING',1795262580.0,NULL,1795262580.0,1795262580.0);
CREATE TABLE spaces (
	id VARCHAR(14) NOT NULL, 
	space_id VARCHAR(255), 
	name VARCHAR(255) NOT NULL, 
	info JSON NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (space_id)
);
INSERT INTO "spaces" VALUES('gtent22m4s7rfd',NULL,'Unclaimed','{}');
INSERT INTO "spaces" VALUES('tahlm537k38h74','hall','Space hall','{}');
CREATE TABLE telemetry (
	seq INTEGER NOT NULL, 
	device_id VARCHAR(36) NOT NULL, 
	received_at FLOAT NOT NULL, 
	timestamp FLOAT NOT NULL, 
	status VARCHAR(16), 
	message TEXT, 
	telemetries JSON NOT NULL, 
	override BOOLEAN NOT NULL, 
	number BIGINT, 
	transport VARCHAR(8), 
	PRIMARY KEY (seq), 
	FOREIGN KEY(device_id) REFERENCES devices (id) ON DELETE CASCADE
);
INSERT INTO "telemetry" VALUES(1,'8e243e70-ca44-4830-85a8-7ae6c2110b14',1795262460.0,1795262460.0,'online',NULL,'{"k": 0, "warm": true, "status": "online"}',0,NULL,NULL);
INSERT INTO "telemetry" VALUES(2,'8e243e70-ca44-4830-85a8-7ae6c2110b14',1795262520.0,1795262520.0,'online',NULL,'{"k": 1, "warm": true, "status": "online"}',0,NULL,NULL);
INSERT INTO "telemetry" VALUES(3,'8e243e70-ca44-4830-85a8-7ae6c2110b14',1795262580.0,1795262580.0,'online',NULL,'{"k": 2, "warm": true, "status": "online"}',0,NULL,NULL);
INSERT INTO "telemetry" VALUES(4,'22133f63-7ad9-4ac2-accf-ba69da32fca9',1795262580.0,1795262580.0,NULL,NULL,'{"k": 7}',0,NULL,NULL);
CREATE INDEX devices_by_mac ON devices (mac, sn);
CREATE INDEX devices_by_imsi ON devices (imsi);
CREATE INDEX devices_by_imei ON devices (imei);
CREATE INDEX devices_by_presence ON devices (online, seen_at);
CREATE INDEX devices_by_parent ON devices (parent_id);
CREATE INDEX telemetry_by_device ON telemetry (device_id, seq);
CREATE UNIQUE INDEX telemetry_by_number ON telemetry (device_id, number);
CREATE INDEX commands_by_device ON commands (device_id, status, seq);
CREATE INDEX licenses_by_device ON licenses (device_id, state, seq);
CREATE INDEX dumps_by_device ON dumps (device_id);
CREATE INDEX incidents_by_device ON incidents (device_id, status, seq);
CREATE INDEX events_by_device ON events (device_id, seq);
CREATE UNIQUE INDEX operations_by_device ON operations (device_id, number);
CREATE INDEX notifications_by_operation ON notifications (operation_id, sent_at);
COMMIT;
